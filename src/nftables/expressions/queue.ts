/** Hands the packet to a program. */
import { attribute, attributeTable, be16, bits } from '../../netlink/index.js'
import { register } from '../values.js'

export const queue = attributeTable('NFTA_QUEUE', {
  number: attribute(1, 'NFTA_QUEUE_NUM', be16),
  /** Queues from `number` on. */
  total: attribute(2, 'NFTA_QUEUE_TOTAL', be16),
  flags: attribute(3, 'NFTA_QUEUE_FLAGS', bits(be16, { bypass: 1, fanout: 2 })),
  numberRegister: attribute(4, 'NFTA_QUEUE_SREG_QNUM', register),
})
