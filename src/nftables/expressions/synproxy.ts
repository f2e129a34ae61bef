/** Answers the handshake in the server's place. */
import { attribute, attributeTable, be16, be32, bits, u8 } from '../../netlink/index.js'

export const synproxy = attributeTable(
  'NFTA_SYNPROXY',
  {
    maximumSegmentSize: attribute(1, 'NFTA_SYNPROXY_MSS', be16),
    windowScale: attribute(2, 'NFTA_SYNPROXY_WSCALE', u8),
    /** NF_SYNPROXY_OPT_*. */
    flags: attribute(
      3,
      'NFTA_SYNPROXY_FLAGS',
      bits(be32, { mss: 1, wscale: 2, 'sack-permitted': 4, timestamp: 8, ecn: 0x10 }),
    ),
  },
  { since: '5.3' },
)
