/** Loads from an extension header or option, writes to it, or takes it away. */
import { attribute, attributeTable, be32, bits, named, omitting, u8 } from '../../netlink/index.js'
import { register } from '../values.js'

/** Without a register it takes the option away, and the kernel takes no place in it (nft_exthdr_tcp_strip_init). */
const place = omitting(be32, (_, record) => {
  const { destinationRegister, sourceRegister } = record as Readonly<Record<string, unknown>>
  return destinationRegister === undefined && sourceRegister === undefined
})

export const exthdr = attributeTable('NFTA_EXTHDR', {
  destinationRegister: attribute(1, 'NFTA_EXTHDR_DREG', register),
  /** Number of the header or option. */
  type: attribute(2, 'NFTA_EXTHDR_TYPE', u8),
  offset: attribute(3, 'NFTA_EXTHDR_OFFSET', place),
  length: attribute(4, 'NFTA_EXTHDR_LEN', place),
  /** present: loads whether it is there. What writes takes no attribute for them (nft_exthdr_tcp_set_init). */
  flags: attribute(
    5,
    'NFTA_EXTHDR_FLAGS',
    omitting(bits(be32, { present: 1 }), ({ length }) => length === 0),
  ),
  operation: attribute(
    6,
    'NFTA_EXTHDR_OP',
    named(
      be32,
      { ipv6: 0, 'tcp-option': 1, 'ipv4-option': 2, sctp: 3, dccp: 4 },
      { 'ipv4-option': '5.3', sctp: '5.14', dccp: '6.5' },
    ),
  ),
  sourceRegister: attribute(7, 'NFTA_EXTHDR_SREG', register),
})
