/** The controller of generic netlink. Source: include/uapi/linux/genetlink.h. */
import {
  attribute,
  attributeTable,
  bytesOf,
  listOf,
  nested,
  nulString,
  readOnly,
  u16,
  u32,
} from '../netlink/index.js'

export const GENL_HDRLEN = 4
export const GENL_ID_CTRL = 0x10
export const CTRL_CMD_GETFAMILY = 3

export const multicastGroup = attributeTable('CTRL_ATTR_MCAST_GRP', {
  name: readOnly(1, 'CTRL_ATTR_MCAST_GRP_NAME', nulString(15), { always: true }),
  id: readOnly(2, 'CTRL_ATTR_MCAST_GRP_ID', u32, { always: true }),
})

export const family = attributeTable('CTRL_ATTR', {
  id: attribute(1, 'CTRL_ATTR_FAMILY_ID', u16, { always: true }),
  name: attribute(2, 'CTRL_ATTR_FAMILY_NAME', nulString(15), { always: true }),
  version: readOnly(3, 'CTRL_ATTR_VERSION', u32),
  headerBytes: readOnly(4, 'CTRL_ATTR_HDRSIZE', u32),
  mostAttribute: readOnly(5, 'CTRL_ATTR_MAXATTR', u32),
  /** Which commands there are; kept as bytes, nobody here needs them. */
  operations: readOnly(6, 'CTRL_ATTR_OPS', bytesOf()),
  multicastGroups: readOnly(7, 'CTRL_ATTR_MCAST_GROUPS', listOf(nested(multicastGroup))),
})
