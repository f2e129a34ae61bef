/** Hands the flow to a flowtable. */
import { attribute, attributeTable } from '../../netlink/index.js'
import { name } from '../values.js'

export const flowOffload = attributeTable('NFTA_FLOW', {
  flowtable: attribute(1, 'NFTA_FLOW_TABLE_NAME', name),
})
