/** What the socket that the packet is for says. */
import { attribute, attributeTable, be32, named } from '../../netlink/index.js'
import { register } from '../values.js'

export const socket = attributeTable(
  'NFTA_SOCKET',
  {
    key: attribute(
      1,
      'NFTA_SOCKET_KEY',
      named(
        be32,
        { transparent: 0, mark: 1, wildcard: 2, cgroupv2: 3 },
        { wildcard: '5.10', cgroupv2: '5.13' },
      ),
    ),
    destinationRegister: attribute(2, 'NFTA_SOCKET_DREG', register),
    /** Of cgroupv2: how far from the root. */
    level: attribute(3, 'NFTA_SOCKET_LEVEL', be32, { since: '5.13' }),
  },
  { since: '4.18' },
)
