/** What IPsec has done with it. */
import { attribute, attributeTable, be32, named, u8 } from '../../netlink/index.js'
import { register } from '../values.js'

export const xfrm = attributeTable(
  'NFTA_XFRM',
  {
    destinationRegister: attribute(1, 'NFTA_XFRM_DREG', register),
    key: attribute(
      2,
      'NFTA_XFRM_KEY',
      named(be32, { 'daddr-ip4': 1, 'daddr-ip6': 2, 'saddr-ip4': 3, 'saddr-ip6': 4, reqid: 5, spi: 6 }),
    ),
    direction: attribute(3, 'NFTA_XFRM_DIR', named(u8, { in: 0, out: 1 })),
    depth: attribute(4, 'NFTA_XFRM_SPNUM', be32),
  },
  { since: '4.20' },
)
