/** Sends the packet out by another device. */
import { attribute, attributeTable } from '../../netlink/index.js'
import { family32, register } from '../values.js'

export const fwd = attributeTable('NFTA_FWD', {
  deviceRegister: attribute(1, 'NFTA_FWD_SREG_DEV', register),
  addressRegister: attribute(2, 'NFTA_FWD_SREG_ADDR', register),
  family: attribute(3, 'NFTA_FWD_NFPROTO', family32),
})
