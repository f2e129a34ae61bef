/** A target of xtables, as its bytes. */
import { attribute, attributeTable, be32, bytesOf, nulString } from '../../netlink/index.js'

export const target = attributeTable('NFTA_TARGET', {
  extension: attribute(1, 'NFTA_TARGET_NAME', nulString(31)),
  revision: attribute(2, 'NFTA_TARGET_REV', be32),
  info: attribute(3, 'NFTA_TARGET_INFO', bytesOf()),
})
