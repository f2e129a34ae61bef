/** Addresses, prefixes, protocols: text and what stands on the wire. Pure. */
export {
  type AddressFamily,
  canonicalAddress,
  familyOf,
  formatAddress,
  isIPv4,
  isIPv6,
  parseAddress,
  readIPv4,
  readIPv6,
  writeIPv4,
  writeIPv6,
} from './ip.js'
export { foldedComplement, pseudoHeaderSum, sum16 } from './checksum.js'
export { formatMac, parseMac } from './mac.js'
export { ipProtocols } from './protocols.js'
export {
  lengthOfDotted,
  lengthOfNetmask,
  netmaskOfLength,
  parsePrefix,
  type Prefix,
  prefixContains,
} from './prefix.js'
