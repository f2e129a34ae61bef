/** What the routing table says of the packet's addresses. */
import { attribute, attributeTable, be32, bits, named } from '../../netlink/index.js'
import { register } from '../values.js'

export const fib = attributeTable('NFTA_FIB', {
  destinationRegister: attribute(1, 'NFTA_FIB_DREG', register),
  result: attribute(2, 'NFTA_FIB_RESULT', named(be32, { oif: 1, oifname: 2, type: 3 })),
  flags: attribute(
    3,
    'NFTA_FIB_FLAGS',
    bits(be32, { saddr: 1, daddr: 2, mark: 4, iif: 8, oif: 0x10, present: 0x20 }),
  ),
})
