/** What is said to a query: by the zones at once, by others later. */
import { ourUdpBytes, plainUdpBytes, type Reply, writeReply } from './answer.js'
import { HotAnswers } from './hot.js'
import { isWithin, reverseApexes } from './names.js'
import { flag, type Query, readQuery } from './query.js'
import type { Upstreams } from './upstreams.js'
import type { Zone, ZoneAnswer } from './zone.js'

export type Transport = 'udp' | 'tcp'

/** The longest message that TCP carries. */
export const longestMessage = 65_535

/** The query is answered by others: ask `resolve`. */
export const later = -1

const typeNumbers = { A: 1, NS: 2, CNAME: 5, SOA: 6, PTR: 12, TXT: 16, AAAA: 28, SRV: 33, ANY: 255 } as const
const typeNames = new Map<number, string>(Object.entries(typeNumbers).map(([name, number]) => [number, name]))
const typeOpt = 41
/** Transfers of zones, and what is no type of records (RFC 6895). */
const isNoRecord = (type: number): boolean => type === 0 || (type >= 128 && type <= 254)
const classIn = 1

export class Responder {
  readonly #zones: readonly Zone[]
  readonly #upstreams: Upstreams | undefined
  readonly #hot: HotAnswers | undefined
  /** Which of several records comes first: each time another one. */
  #turn = 0

  /** @param isPlain without prebuilt answers */
  constructor(zones: readonly Zone[], upstreams: Upstreams | undefined, isPlain = false) {
    this.#zones = zones
    this.#upstreams = upstreams
    const hot = new HotAnswers({ zones, recursionAvailable: upstreams !== undefined })
    if (isPlain) return
    this.#hot = hot
    for (const zone of zones) zone.watch((names) => hot.forget(names))
  }

  /**
   * Writes the answer to a message that came from somebody.
   * @returns bytes written, 0 where there is nothing to say, or `later`
   */
  respond(
    source: Uint8Array,
    from: number,
    length: number,
    transport: Transport,
    target: Uint8Array,
    to: number,
  ): number {
    const turn = this.#turn
    const limit = transport === 'tcp' ? longestMessage : undefined
    const quick = this.#hot?.answer(source, from, length, target, to, turn, limit) ?? 0
    if (quick === 0) return this.#respond(source.subarray(from, from + length), transport, target, to)
    this.#turn = (turn + 1) & 0xff_ffff
    return quick
  }

  #respond(message: Uint8Array, transport: Transport, target: Uint8Array, to: number): number {
    const query = readQuery(message)
    if (query === undefined) return 0
    const reply = this.#reply(query)
    return reply === undefined
      ? later
      : writeReply(message, query, reply, target, to, limitOf(query, transport))
  }

  /** What others say. @returns undefined where there is nothing to say */
  async resolve(message: Uint8Array, transport: Transport): Promise<Uint8Array | undefined> {
    const query = readQuery(message)
    const upstreams = this.#upstreams
    if (query === undefined || upstreams === undefined) return undefined
    const limit = limitOf(query, transport)
    const own = this.#lookup(query)
    const room = new Uint8Array(Math.min(limit, longestMessage) + 64)
    const write = (reply: Reply): Uint8Array =>
      room.subarray(0, writeReply(message, query, { recursionAvailable: true, ...reply }, room, 0, limit))
    if (own?.leadsTo === undefined) {
      const answer = await upstreams.ask(message, query, transport)
      if (answer === undefined) return write({ rcode: 'SERVFAIL' })
      return answer.length <= limit ? answer : write({ rcode: 'NOERROR', isCut: true })
    }
    const further = await upstreams.addresses(own.leadsTo, query)
    if (further === undefined)
      return write({ rcode: 'SERVFAIL', answers: own.answers, isAuthoritative: true })
    return write({ ...further, answers: [...own.answers, ...further.answers], isAuthoritative: true })
  }

  /** How many answers are prebuilt. */
  get prebuilt(): number {
    return this.#hot?.size ?? 0
  }

  /** Undefined if others are to be asked. */
  #reply(query: Query): Reply | undefined {
    const recursionAvailable = this.#upstreams !== undefined
    const { error, name, type } = query
    if (error !== undefined) return { rcode: error, recursionAvailable }
    if (type === typeOpt) return { rcode: 'FORMERR', recursionAvailable }
    if (query.class !== classIn || isNoRecord(type)) return { rcode: 'REFUSED', recursionAvailable }
    const answer = this.#lookup(query)
    const othersMaySay = recursionAvailable && (query.flags & flag.wanted) !== 0
    if (othersMaySay && (answer === undefined || (answer.leadsTo !== undefined && isAddress(type))))
      return undefined
    if (answer === undefined) return { rcode: 'REFUSED', recursionAvailable }
    // Addresses that are no service's may be known elsewhere.
    if (othersMaySay && answer.answers.length === 0 && isReverse(name)) return undefined
    return { ...answer, isAuthoritative: true, recursionAvailable }
  }

  /** Undefined for a name that is in none of the zones. */
  #lookup({ name, type }: Query): ZoneAnswer | undefined {
    const zone = this.#zoneOf(name)
    if (zone === undefined) return undefined
    const turn = this.#turn
    this.#turn = (turn + 1) & 0xff_ffff
    const typeName = typeNames.get(type) ?? `TYPE${type}`
    const answer = zone.lookup(name, typeName, turn)
    this.#keep(zone, name, type, typeName, answer)
    return answer.leadsTo === undefined ? answer : this.#follow(answer, typeName, turn)
  }

  /** From one zone into another one of ours. */
  #follow(answer: ZoneAnswer, type: string, turn: number): ZoneAnswer {
    const answers = [...answer.answers]
    let last = answer
    for (let step = 0; last.leadsTo !== undefined && step < 8; step++) {
      const zone = this.#zoneOf(last.leadsTo)
      if (zone === undefined) break
      last = zone.lookup(last.leadsTo, type, turn)
      answers.push(...last.answers)
    }
    return { ...last, answers }
  }

  #zoneOf(name: string): Zone | undefined {
    return this.#zones.find((zone) => zone.apexOf(name) !== undefined)
  }

  /** Of names of services alone: what strangers ask for takes no room. */
  #keep(zone: Zone, name: string, type: number, typeName: string, answer: ZoneAnswer): void {
    const hot = this.#hot
    if (hot === undefined || answer.leadsTo !== undefined || !zone.has(name) || hot.has(name, type)) return
    const { answers, rcode } = answer
    const [first] = answers
    if (first === undefined) {
      const isUsual = isAddress(type) || type === typeNumbers.SRV
      if (rcode === 'NOERROR' && isUsual && isWithin(name, zone.name)) hot.keepNone(zone, name, type)
    } else if (first.name === name && first.type === typeName && type !== typeNumbers.SOA) {
      hot.keep({ name, type, ...zone.lookup(name, typeName) })
    }
  }
}

/** Stub resolvers do not go on from a CNAME by themselves: they want the addresses with it. */
function isAddress(type: number): boolean {
  return type === typeNumbers.A || type === typeNumbers.AAAA
}

/** How many bytes the client takes. */
function limitOf({ edns }: Query, transport: Transport): number {
  if (transport === 'tcp') return longestMessage
  return edns === undefined ? plainUdpBytes : Math.min(Math.max(edns.udpBytes, plainUdpBytes), ourUdpBytes)
}

function isReverse(name: string): boolean {
  return reverseApexes.some((apex) => name.endsWith(apex))
}
