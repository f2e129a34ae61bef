/** Hashes a register, or the flow's addresses and ports. */
import { attribute, attributeTable, be32, named } from '../../netlink/index.js'
import { name, register } from '../values.js'

export const hash = attributeTable('NFTA_HASH', {
  sourceRegister: attribute(1, 'NFTA_HASH_SREG', register),
  destinationRegister: attribute(2, 'NFTA_HASH_DREG', register),
  /** Bytes that are hashed. */
  length: attribute(3, 'NFTA_HASH_LEN', be32),
  modulus: attribute(4, 'NFTA_HASH_MODULUS', be32),
  seed: attribute(5, 'NFTA_HASH_SEED', be32),
  /** Added to the result. */
  offset: attribute(6, 'NFTA_HASH_OFFSET', be32),
  type: attribute(7, 'NFTA_HASH_TYPE', named(be32, { jenkins: 0, symmetric: 1 })),
  /** No kernel since 4.18 takes it. */
  setName: attribute(8, 'NFTA_HASH_SET_NAME', name),
  setId: attribute(9, 'NFTA_HASH_SET_ID', be32),
})
