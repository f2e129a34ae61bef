/** Until so many bytes have come by. */
import { attribute, attributeTable, be32, be64, bits, pad } from '../../netlink/index.js'

export const quota = attributeTable('NFTA_QUOTA', {
  bytes: attribute(1, 'NFTA_QUOTA_BYTES', be64),
  flags: attribute(2, 'NFTA_QUOTA_FLAGS', bits(be32, { inverted: 1, depleted: 2 })),
  padding: attribute(3, 'NFTA_QUOTA_PAD', pad),
  /** Bytes. */
  consumed: attribute(4, 'NFTA_QUOTA_CONSUMED', be64),
})
