/** Hardware addresses of Ethernet. */

/** The 6 bytes of `02:00:00:00:00:01`; undefined for anything else. */
export function parseMac(text: string): Uint8Array | undefined {
  if (!/^([\da-f]{2}:){5}[\da-f]{2}$/i.test(text)) return undefined
  return Uint8Array.from(text.split(':'), (part) => Number.parseInt(part, 16))
}

/** Of as many bytes as there are. */
export function formatMac(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':')
}
