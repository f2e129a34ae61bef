/** A number: the next one, or any. */
import { attribute, attributeTable, be32, named } from '../../netlink/index.js'
import { name, register } from '../values.js'

export const numgen = attributeTable('NFTA_NG', {
  destinationRegister: attribute(1, 'NFTA_NG_DREG', register),
  modulus: attribute(2, 'NFTA_NG_MODULUS', be32),
  type: attribute(3, 'NFTA_NG_TYPE', named(be32, { incremental: 0, random: 1 })),
  /** Added to it. */
  offset: attribute(4, 'NFTA_NG_OFFSET', be32),
  /** No kernel since 4.18 takes it. */
  setName: attribute(5, 'NFTA_NG_SET_NAME', name),
  setId: attribute(6, 'NFTA_NG_SET_ID', be32),
})
