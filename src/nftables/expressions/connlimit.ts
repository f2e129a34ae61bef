/** So many connections at once. */
import { attribute, attributeTable, be32, bits } from '../../netlink/index.js'

export const connlimit = attributeTable(
  'NFTA_CONNLIMIT',
  {
    count: attribute(1, 'NFTA_CONNLIMIT_COUNT', be32),
    flags: attribute(2, 'NFTA_CONNLIMIT_FLAGS', bits(be32, { inverted: 1 })),
  },
  { since: '4.18' },
)
