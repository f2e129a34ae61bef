/**
 * Errors are recognised by a mark and not by `instanceof`, which fails between two copies of a package
 * (and between a bundle and its plug-ins).
 */
const kindKey = Symbol.for('viaduct.error')

export type ErrorKind = 'kernel' | 'unsupported' | 'validation' | 'batch' | 'malformed'

export function markKind(prototype: object, kind: ErrorKind): void {
  Object.defineProperty(prototype, kindKey, { value: kind })
}

export function hasKind(error: unknown, kind: ErrorKind): boolean {
  return typeof error === 'object' && error !== null && (error as Record<symbol, unknown>)[kindKey] === kind
}

/** `{ address: '192.0.2.1', port: 80 }` as `address=192.0.2.1 port=80`: what a message says of its object. */
export function describe(object: object | undefined): string {
  if (object === undefined) return ''
  return Object.entries(object)
    .filter(([, value]) => value !== undefined && value !== null)
    .map(([key, value]) => `${key}=${text(value)}`)
    .join(' ')
}

/** A value as an error message shows it: short, on one line, whatever it is. */
export function text(value: unknown): string {
  if (typeof value === 'string') return clip(/^[\w.:/%@+-]+$/.test(value) ? value : JSON.stringify(value))
  if (typeof value === 'bigint') return `${value}n`
  if (value instanceof Uint8Array) return `${value.length} bytes`
  if (typeof value === 'object' && value !== null) {
    try {
      return clip(
        JSON.stringify(value, (_, inner: unknown) =>
          typeof inner === 'bigint' ? `${inner}n` : inner instanceof Uint8Array ? hexadecimal(inner) : inner,
        ),
      )
    } catch {
      return Object.prototype.toString.call(value)
    }
  }
  return clip(String(value))
}

/** Keys and addresses are short: more than this says nothing. */
function hexadecimal(bytes: Uint8Array): string {
  const digits = Array.from(bytes.subarray(0, 16), (byte) => byte.toString(16).padStart(2, '0')).join('')
  return bytes.length > 16 ? `0x${digits}… (${bytes.length} bytes)` : `0x${digits}`
}

function clip(line: string): string {
  return line.length > 120 ? `${line.slice(0, 117)}...` : line
}
