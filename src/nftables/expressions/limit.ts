/** So much in a time; the rule ends here for what is more. */
import { attribute, attributeTable, be32, be64, be64AsNumber, bits, named, pad } from '../../netlink/index.js'

export const limit = attributeTable('NFTA_LIMIT', {
  /** Packets or bytes in each unit. */
  rate: attribute(1, 'NFTA_LIMIT_RATE', be64),
  unitSeconds: attribute(2, 'NFTA_LIMIT_UNIT', be64AsNumber),
  /** Packets or bytes above the rate. */
  burst: attribute(3, 'NFTA_LIMIT_BURST', be32),
  type: attribute(4, 'NFTA_LIMIT_TYPE', named(be32, { packets: 0, bytes: 1 })),
  flags: attribute(5, 'NFTA_LIMIT_FLAGS', bits(be32, { inverted: 1 })),
  padding: attribute(6, 'NFTA_LIMIT_PAD', pad),
})
