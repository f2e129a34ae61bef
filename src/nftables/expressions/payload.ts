/** Loads bytes of the packet into a register, or puts them there. */
import { attribute, attributeTable, be32, bits, named } from '../../netlink/index.js'
import { register } from '../values.js'

export const payload = attributeTable('NFTA_PAYLOAD', {
  destinationRegister: attribute(1, 'NFTA_PAYLOAD_DREG', register),
  base: attribute(
    2,
    'NFTA_PAYLOAD_BASE',
    named(be32, { link: 0, network: 1, transport: 2, inner: 3, tunnel: 4 }, { inner: '5.16', tunnel: '6.2' }),
  ),
  /** Bytes from the base. */
  offset: attribute(3, 'NFTA_PAYLOAD_OFFSET', be32),
  /** Bytes. */
  length: attribute(4, 'NFTA_PAYLOAD_LEN', be32),
  /** Where it puts them from. */
  sourceRegister: attribute(5, 'NFTA_PAYLOAD_SREG', register),
  checksumType: attribute(6, 'NFTA_PAYLOAD_CSUM_TYPE', named(be32, { none: 0, internet: 1, sctp: 2 })),
  /** Bytes from the base. */
  checksumOffset: attribute(7, 'NFTA_PAYLOAD_CSUM_OFFSET', be32),
  checksumFlags: attribute(8, 'NFTA_PAYLOAD_CSUM_FLAGS', bits(be32, { 'pseudo-header': 1 })),
})
