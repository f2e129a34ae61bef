/** Loads data into a register, or a verdict into register 0. */
import { attribute, attributeTable } from '../../netlink/index.js'
import { data, register } from '../values.js'

export const immediate = attributeTable('NFTA_IMMEDIATE', {
  destinationRegister: attribute(1, 'NFTA_IMMEDIATE_DREG', register),
  data: attribute(2, 'NFTA_IMMEDIATE_DATA', data),
})
