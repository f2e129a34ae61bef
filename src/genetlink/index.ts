/** Generic netlink: families by name. */
export { attributesAt, type GenericBatchCodec, type GenericCommand, GenericFamily } from './family.js'
export { GENL_HDRLEN } from './wire.js'
