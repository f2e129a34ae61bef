/** What the tunnel that it came by says. */
import { attribute, attributeTable, be32, named } from '../../netlink/index.js'
import { register } from '../values.js'

export const tunnel = attributeTable(
  'NFTA_TUNNEL',
  {
    key: attribute(1, 'NFTA_TUNNEL_KEY', named(be32, { path: 0, id: 1 })),
    destinationRegister: attribute(2, 'NFTA_TUNNEL_DREG', register),
    mode: attribute(3, 'NFTA_TUNNEL_MODE', named(be32, { none: 0, rx: 1, tx: 2 })),
  },
  { since: '4.19' },
)
