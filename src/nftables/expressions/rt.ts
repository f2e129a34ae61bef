/** What the packet's route says. */
import { attribute, attributeTable, be32, named } from '../../netlink/index.js'
import { register } from '../values.js'

export const rt = attributeTable('NFTA_RT', {
  destinationRegister: attribute(1, 'NFTA_RT_DREG', register),
  key: attribute(
    2,
    'NFTA_RT_KEY',
    named(be32, { classid: 0, nexthop4: 1, nexthop6: 2, tcpmss: 3, ipsec: 4 }),
  ),
})
