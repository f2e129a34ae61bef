/** Sends a copy elsewhere. */
import { attribute, attributeTable } from '../../netlink/index.js'
import { register } from '../values.js'

export const dup = attributeTable('NFTA_DUP', {
  addressRegister: attribute(1, 'NFTA_DUP_SREG_ADDR', register),
  deviceRegister: attribute(2, 'NFTA_DUP_SREG_DEV', register),
})
