/** Compares a register with two bounds, both included. */
import { attribute, attributeTable, be32, named } from '../../netlink/index.js'
import { data, register } from '../values.js'

export const range = attributeTable('NFTA_RANGE', {
  sourceRegister: attribute(1, 'NFTA_RANGE_SREG', register),
  operation: attribute(2, 'NFTA_RANGE_OP', named(be32, { '==': 0, '!=': 1 })),
  from: attribute(3, 'NFTA_RANGE_FROM_DATA', data),
  to: attribute(4, 'NFTA_RANGE_TO_DATA', data),
})
