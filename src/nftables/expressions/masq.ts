/** Source address of the interface that the packet leaves by. */
import { attribute, attributeTable } from '../../netlink/index.js'
import { natFlags, register } from '../values.js'

export const masq = attributeTable('NFTA_MASQ', {
  flags: attribute(1, 'NFTA_MASQ_FLAGS', natFlags),
  portMinimumRegister: attribute(2, 'NFTA_MASQ_REG_PROTO_MIN', register),
  portMaximumRegister: attribute(3, 'NFTA_MASQ_REG_PROTO_MAX', register),
})
