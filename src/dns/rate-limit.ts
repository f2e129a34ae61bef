/**
 * Limits how often networks get the same kind of answer over UDP, so that nobody is flooded in whose name others ask: what BIND
 * calls response rate limiting.
 */
import { ValidationError } from '../errors/index.js'

/** How much is too much. */
export interface RateLimitOptions {
  /** Answers a second of one kind to one network. */
  readonly responsesPerSecond: number
  /** How many may come at once after a silence; as many as come in five seconds unless said. */
  readonly burst?: number | undefined
  /**
   * Of those that are too many every so-manieth is cut (TC), so that who really asks comes by TCP; others are dropped. 2 unless
   * said, 0 to drop all, 1 to drop none.
   */
  readonly slip?: number | undefined
  /** Bits of an address that are its network; 24 unless said. */
  readonly ipv4PrefixLength?: number | undefined
  /** 56 unless said. */
  readonly ipv6PrefixLength?: number | undefined
}

/** Of a power of two: what is told apart. Two that share a place share what it has. */
const places = 1 << 16

export class RateLimit {
  readonly #rate: number
  readonly #burst: number
  readonly #slip: number
  readonly #bits: readonly [ipv4: number, ipv6: number]
  /** Tokens left, and when that was. */
  readonly #tokens: Float64Array
  readonly #times: Float64Array
  readonly #salt: number
  #excess = 0

  /** @param salt any number: strangers cannot tell who shares a place. @throws ValidationError */
  constructor(options: RateLimitOptions, salt: number) {
    const { responsesPerSecond, burst = responsesPerSecond * 5, slip = 2 } = options
    const { ipv4PrefixLength = 24, ipv6PrefixLength = 56 } = options
    if (!(responsesPerSecond > 0)) {
      throw new ValidationError('rateLimit.responsesPerSecond', responsesPerSecond, 'a number above 0')
    }
    if (!(burst >= 1)) throw new ValidationError('rateLimit.burst', burst, 'a number of at least 1')
    if (!(Number.isInteger(slip) && slip >= 0)) {
      throw new ValidationError('rateLimit.slip', slip, 'an integer of at least 0')
    }
    this.#rate = responsesPerSecond
    this.#burst = burst
    this.#slip = slip
    this.#bits = [ipv4PrefixLength, ipv6PrefixLength]
    this.#tokens = new Float64Array(places).fill(burst)
    this.#times = new Float64Array(places)
    this.#salt = salt | 0
  }

  /**
   * @param address 4 or 16 bytes
   * @param kind a number that is the same for answers that are
   * @param seconds the time, from any beginning
   */
  judge(address: Uint8Array, kind: number, seconds: number): 'send' | 'cut' | 'drop' {
    let bits = this.#bits[address.length === 4 ? 0 : 1]
    let hash = Math.imul(this.#salt ^ kind, 0x9e3779b1)
    for (let index = 0; bits > 0; index++, bits -= 8) {
      const byte = bits >= 8 ? address[index]! : address[index]! & (0xff << (8 - bits))
      hash = Math.imul(hash ^ byte, 0x01000193)
    }
    hash ^= hash >>> 15
    const place = Math.imul(hash, 0x85ebca6b) >>> 16
    const since = seconds - this.#times[place]!
    const tokens = Math.min(this.#burst, this.#tokens[place]! + since * this.#rate)
    this.#times[place] = seconds
    if (tokens >= 1) {
      this.#tokens[place] = tokens - 1
      return 'send'
    }
    this.#tokens[place] = tokens
    return this.#slip > 0 && ++this.#excess % this.#slip === 0 ? 'cut' : 'drop'
  }
}

/** Answers that are the same: of one name that is there, of all that are not, of all that are wrong. */
export function kindOf(answer: Uint8Array, from: number): number {
  const rcode = answer[from + 3]! & 15
  if (rcode !== 0) return rcode
  let hash = 0x811c9dc5 | 0
  for (let at = from + 12; answer[at] !== 0 && at < from + 268; at++) {
    const byte = answer[at]!
    hash = Math.imul(hash ^ (byte >= 65 && byte <= 90 ? byte | 32 : byte), 0x01000193)
  }
  return hash | 16
}
