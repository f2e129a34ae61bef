/** Compares a register; the rule ends here unless it is so. */
import { attribute, attributeTable, be32, named } from '../../netlink/index.js'
import { data, register } from '../values.js'

export const cmp = attributeTable('NFTA_CMP', {
  sourceRegister: attribute(1, 'NFTA_CMP_SREG', register),
  operation: attribute(2, 'NFTA_CMP_OP', named(be32, { '==': 0, '!=': 1, '<': 2, '<=': 3, '>': 4, '>=': 5 })),
  data: attribute(3, 'NFTA_CMP_DATA', data),
})
