/** When something came by last. */
import { attribute, attributeTable, be32, be64AsNumber, pad } from '../../netlink/index.js'

export const last = attributeTable(
  'NFTA_LAST',
  {
    /** 0: never. */
    isSet: attribute(1, 'NFTA_LAST_SET', be32),
    /** Ago. */
    milliseconds: attribute(2, 'NFTA_LAST_MSECS', be64AsNumber),
    padding: attribute(3, 'NFTA_LAST_PAD', pad),
  },
  { since: '5.14' },
)
