/** Loads from an extension header or option, writes to it, or takes it away. */
import { attribute, attributeTable, be32, bits, named, u8 } from '../../netlink/index.js'
import { register } from '../values.js'

export const exthdr = attributeTable('NFTA_EXTHDR', {
  destinationRegister: attribute(1, 'NFTA_EXTHDR_DREG', register),
  /** Number of the header or option. */
  type: attribute(2, 'NFTA_EXTHDR_TYPE', u8),
  offset: attribute(3, 'NFTA_EXTHDR_OFFSET', be32),
  length: attribute(4, 'NFTA_EXTHDR_LEN', be32),
  /** present: loads whether it is there. */
  flags: attribute(5, 'NFTA_EXTHDR_FLAGS', bits(be32, { present: 1 })),
  operation: attribute(
    6,
    'NFTA_EXTHDR_OP',
    named(be32, { ipv6: 0, 'tcp-option': 1, 'ipv4-option': 2, sctp: 3, dccp: 4 }),
  ),
  sourceRegister: attribute(7, 'NFTA_EXTHDR_SREG', register),
})
