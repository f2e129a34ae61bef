/** Does what a stateful object says, by name or by a map. */
import { attribute, attributeTable, be32 } from '../../netlink/index.js'
import { name, objectType, register } from '../values.js'

export const objref = attributeTable('NFTA_OBJREF', {
  type: attribute(1, 'NFTA_OBJREF_IMM_TYPE', objectType),
  object: attribute(2, 'NFTA_OBJREF_IMM_NAME', name),
  sourceRegister: attribute(3, 'NFTA_OBJREF_SET_SREG', register),
  set: attribute(4, 'NFTA_OBJREF_SET_NAME', name),
  /** Of a set of the same transaction. */
  setId: attribute(5, 'NFTA_OBJREF_SET_ID', be32),
})
