/** Addresses, prefixes: text and bytes. Pure. */
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
export {
  lengthOfDotted,
  lengthOfNetmask,
  netmaskOfLength,
  parsePrefix,
  type Prefix,
  prefixContains,
} from './prefix.js'
