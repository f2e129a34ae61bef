/** Logs the packet. */
import { attribute, attributeTable, be16, be32, bits, named, nulString } from '../../netlink/index.js'

export const log = attributeTable('NFTA_LOG', {
  /** Of NFLOG; without it the kernel's log is meant. */
  group: attribute(1, 'NFTA_LOG_GROUP', be16),
  prefix: attribute(2, 'NFTA_LOG_PREFIX', nulString(127)),
  /** Bytes of the packet that are sent. */
  length: attribute(3, 'NFTA_LOG_SNAPLEN', be32),
  queueThreshold: attribute(4, 'NFTA_LOG_QTHRESHOLD', be16),
  level: attribute(
    5,
    'NFTA_LOG_LEVEL',
    named(be32, { emerg: 0, alert: 1, crit: 2, err: 3, warn: 4, notice: 5, info: 6, debug: 7, audit: 8 }),
  ),
  /** NF_LOG_*. */
  flags: attribute(
    6,
    'NFTA_LOG_FLAGS',
    bits(be32, {
      'tcp-sequence': 1,
      'tcp-options': 2,
      'ip-options': 4,
      uid: 8,
      nflog: 0x10,
      'mac-decode': 0x20,
    }),
  ),
})
