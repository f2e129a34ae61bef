/** Counts what comes by. */
import { attribute, attributeTable, be64, pad } from '../../netlink/index.js'

export const counter = attributeTable('NFTA_COUNTER', {
  bytes: attribute(1, 'NFTA_COUNTER_BYTES', be64),
  packets: attribute(2, 'NFTA_COUNTER_PACKETS', be64),
  padding: attribute(3, 'NFTA_COUNTER_PAD', pad),
})
