/** A match of xtables, as its bytes. */
import { attribute, attributeTable, be32, bytesOf, nulString } from '../../netlink/index.js'

export const match = attributeTable('NFTA_MATCH', {
  extension: attribute(1, 'NFTA_MATCH_NAME', nulString(31)),
  revision: attribute(2, 'NFTA_MATCH_REV', be32),
  info: attribute(3, 'NFTA_MATCH_INFO', bytesOf()),
})
