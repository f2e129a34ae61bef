/** Netfilter over netlink: its header, and batches that are applied as one. */
export {
  type Commit,
  type CommitFailure,
  type CommitOptions,
  Netfilter,
  type NetfilterMessage,
  readHeader,
  type ReplyHeader,
} from './messages.js'
export {
  attributesAt,
  NFGENMSG_BYTES,
  netfilterFamilies,
  type NetfilterFamily,
  netfilterFamily,
  netfilterGroup,
  subsystem,
} from './wire.js'
