/** Keys and values as numbers: of any length, in the order of packets or of the host. */
export function numberOf(bytes: Uint8Array, order: 'network' | 'host' = 'network'): bigint {
  let number = 0n
  if (order === 'network') for (const byte of bytes) number = (number << 8n) | BigInt(byte)
  else for (let at = bytes.length - 1; at >= 0; at--) number = (number << 8n) | BigInt(bytes[at]!)
  return number
}

/** In network order. */
export function bytesOf(number: bigint, length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  let rest = number
  for (let at = length - 1; at >= 0; at--) {
    bytes[at] = Number(rest & 0xffn)
    rest >>= 8n
  }
  return bytes
}
