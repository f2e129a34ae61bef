/** Changes an address, a port, or both for the flow. */
import { attribute, attributeTable, be32, named } from '../../netlink/index.js'
import { family32, natFlags, register } from '../values.js'

export const nat = attributeTable('NFTA_NAT', {
  type: attribute(1, 'NFTA_NAT_TYPE', named(be32, { snat: 0, dnat: 1 })),
  family: attribute(2, 'NFTA_NAT_FAMILY', family32),
  addressMinimumRegister: attribute(3, 'NFTA_NAT_REG_ADDR_MIN', register),
  addressMaximumRegister: attribute(4, 'NFTA_NAT_REG_ADDR_MAX', register),
  portMinimumRegister: attribute(5, 'NFTA_NAT_REG_PROTO_MIN', register),
  portMaximumRegister: attribute(6, 'NFTA_NAT_REG_PROTO_MAX', register),
  flags: attribute(7, 'NFTA_NAT_FLAGS', natFlags),
})
