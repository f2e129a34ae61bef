/** Masks and shifts: `(source & mask) ^ xor`, or what `operation` says with `data` or a second register. */
import { attribute, attributeTable, be32, named } from '../../netlink/index.js'
import { data, register } from '../values.js'

export const bitwise = attributeTable('NFTA_BITWISE', {
  sourceRegister: attribute(1, 'NFTA_BITWISE_SREG', register),
  destinationRegister: attribute(2, 'NFTA_BITWISE_DREG', register),
  /** Bytes. */
  length: attribute(3, 'NFTA_BITWISE_LEN', be32),
  mask: attribute(4, 'NFTA_BITWISE_MASK', data),
  xor: attribute(5, 'NFTA_BITWISE_XOR', data),
  /** and, or and xor are of two registers. */
  operation: attribute(
    6,
    'NFTA_BITWISE_OP',
    named(
      be32,
      { 'mask-xor': 0, 'left-shift': 1, 'right-shift': 2, and: 3, or: 4, xor: 5 },
      { and: '6.13', or: '6.13', xor: '6.13' },
    ),
    { since: '5.6' },
  ),
  data: attribute(7, 'NFTA_BITWISE_DATA', data, { since: '5.6' }),
  secondSourceRegister: attribute(8, 'NFTA_BITWISE_SREG2', register, { since: '6.13' }),
})
