/** Looks at the packet inside a tunnel's. */
import { attribute, attributeTable, be32, bits, named } from '../../netlink/index.js'
import { expression } from './circle.js'

export const inner = attributeTable(
  'NFTA_INNER',
  {
    number: attribute(1, 'NFTA_INNER_NUM', be32),
    /** Others have numbers of nft's own. */
    type: attribute(2, 'NFTA_INNER_TYPE', named(be32, { unspecified: 0, vxlan: 1, geneve: 2 })),
    flags: attribute(
      3,
      'NFTA_INNER_FLAGS',
      bits(be32, { 'header-size': 1, link: 2, network: 4, transport: 8 }),
    ),
    /** Bytes of the tunnel's own header. */
    headerSize: attribute(4, 'NFTA_INNER_HDRSIZE', be32),
    expression: attribute(5, 'NFTA_INNER_EXPR', expression),
  },
  { since: '6.2' },
)
