/** Looks a register up in a set; of a map, loads what is found. */
import { attribute, attributeTable, be32, bits } from '../../netlink/index.js'
import { name, register } from '../values.js'

export const lookup = attributeTable('NFTA_LOOKUP', {
  set: attribute(1, 'NFTA_LOOKUP_SET', name),
  sourceRegister: attribute(2, 'NFTA_LOOKUP_SREG', register),
  /** Of maps; 0 for verdicts. */
  destinationRegister: attribute(3, 'NFTA_LOOKUP_DREG', register),
  /** Of a set of the same transaction. */
  setId: attribute(4, 'NFTA_LOOKUP_SET_ID', be32),
  flags: attribute(5, 'NFTA_LOOKUP_FLAGS', bits(be32, { inverted: 1 })),
})
