/** To this host. */
import { attribute, attributeTable } from '../../netlink/index.js'
import { natFlags, register } from '../values.js'

export const redir = attributeTable('NFTA_REDIR', {
  portMinimumRegister: attribute(1, 'NFTA_REDIR_REG_PROTO_MIN', register),
  portMaximumRegister: attribute(2, 'NFTA_REDIR_REG_PROTO_MAX', register),
  flags: attribute(3, 'NFTA_REDIR_FLAGS', natFlags),
})
