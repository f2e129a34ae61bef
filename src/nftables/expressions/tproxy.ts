/** Hands the packet to a local socket that is not addressed by it. */
import { attribute, attributeTable } from '../../netlink/index.js'
import { family32, register } from '../values.js'

export const tproxy = attributeTable(
  'NFTA_TPROXY',
  {
    family: attribute(1, 'NFTA_TPROXY_FAMILY', family32),
    addressRegister: attribute(2, 'NFTA_TPROXY_REG_ADDR', register),
    portRegister: attribute(3, 'NFTA_TPROXY_REG_PORT', register),
  },
  { since: '4.19' },
)
