/** The Internet checksum (RFC 1071), and the pseudo-header before it (RFC 8200, 8.1; RFC 9293, 3.1). Pure. */

/** The sum of 16-bit words; an odd byte at the end counts as the upper half of one. Not folded: at most 2^32 for 128 KiB. */
export function sum16(bytes: Uint8Array): number {
  let sum = 0
  for (let index = 0; index + 1 < bytes.length; index += 2) sum += bytes[index]! * 256 + bytes[index + 1]!
  return bytes.length % 2 === 0 ? sum : sum + bytes[bytes.length - 1]! * 256
}

/** Of addresses of 4 or 16 bytes; the sum is the same whichever widths length and protocol have. */
export function pseudoHeaderSum(
  source: Uint8Array,
  destination: Uint8Array,
  length: number,
  protocol: number,
): number {
  return sum16(source) + sum16(destination) + (length >>> 16) + (length & 0xffff) + protocol
}

/** What stands in the packet; of what was received with it, 0 if it is right. */
export function foldedComplement(sum: number): number {
  let folded = sum
  while (folded > 0xffff) folded = Math.floor(folded / 0x1_0000) + (folded & 0xffff)
  return ~folded & 0xffff
}
