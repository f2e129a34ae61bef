/** Between the byte order of the network and of the host. */
import { attribute, attributeTable, be32, named } from '../../netlink/index.js'
import { register } from '../values.js'

export const byteorder = attributeTable('NFTA_BYTEORDER', {
  sourceRegister: attribute(1, 'NFTA_BYTEORDER_SREG', register),
  destinationRegister: attribute(2, 'NFTA_BYTEORDER_DREG', register),
  operation: attribute(3, 'NFTA_BYTEORDER_OP', named(be32, { 'network-to-host': 0, 'host-to-network': 1 })),
  /** Bytes in all. */
  length: attribute(4, 'NFTA_BYTEORDER_LEN', be32),
  /** Bytes of each number: 2, 4 or 8. */
  size: attribute(5, 'NFTA_BYTEORDER_SIZE', be32),
})
