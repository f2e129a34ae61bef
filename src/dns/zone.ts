/** The zone of a cluster: what a name has, and that there is no such name. Pure; it changes by steps. */
import { ValidationError } from '../errors/index.js'
import { canonicalAddress, familyOf } from '../address/index.js'
import type { KnownPod, KnownService } from '../model/index.js'
import { addressOfLabel, canonicalName, isWithin, nameHash, reverseApexes } from './names.js'
import {
  addNamespace,
  type Line,
  Lines,
  linesOfPod,
  linesOfService,
  type PodRecords,
  type RecordPlace,
  type RecordType,
  type ResourceRecord,
} from './records.js'
import { SteadyMap } from './steady-map.js'

/** What a zone is. */
export interface ZoneOptions {
  /** `cluster.local` unless said. */
  readonly name?: string | undefined
  /** Whether Pods have names; `disabled` unless said. */
  readonly podRecords?: PodRecords | undefined
  /** Seconds that answers may be kept, also those that say there is none; 5 unless said. */
  readonly ttlSeconds?: number | undefined
  /** The serial number that it begins with, of 32 bits; it rises with every change. 1 unless said. */
  readonly serial?: number | undefined
  /** Addresses of `ns.dns.` below the zone, its name server. None unless said. */
  readonly nameservers?: readonly string[] | undefined
  /** Whether it tells the names of addresses (`in-addr.arpa`, `ip6.arpa`); true unless said. */
  readonly hasReverse?: boolean | undefined
}

/** One step of a zone. Of what is undefined nothing is left. */
export interface ZoneChange {
  /** By `namespace/name`. */
  readonly services?: Iterable<readonly [id: string, service: KnownService | undefined]> | undefined
  /** By `namespace/name`. */
  readonly pods?: Iterable<readonly [id: string, pod: KnownPod | undefined]> | undefined
  /** Those that are there, beside those in which something is. */
  readonly namespaces?: Iterable<readonly [name: string, isThere: boolean]> | undefined
}

/** What a zone says to a question. */
export interface ZoneAnswer {
  /** Whether there is such a name. */
  readonly rcode: 'NOERROR' | 'NXDOMAIN'
  /** The records that were asked for, and CNAME that lead to them. */
  readonly answers: readonly ResourceRecord[]
  /** The SOA, where there is no answer. */
  readonly authorities: readonly ResourceRecord[]
  /** Addresses of names in the answers. */
  readonly additionals: readonly ResourceRecord[]
  /** A name outside of the zone that the last answer leads to. */
  readonly leadsTo?: string | undefined
}

/** A name. It is there as long as it has records, or names below it. */
interface Node {
  children: number
  /** Sorted, each of them once. */
  readonly sets: Map<RecordType | '', string[]>
}

/** A chain of names of our own that is longer has a circle, or nobody means it. */
const longestChain = 8

/**
 * All records of the Kubernetes DNS specification 1.1.0 for services, held in a tree of names, so that a change costs what the
 * service has and not what there is. What it holds follows from services, Pods and namespaces alone, in whatever order they came.
 */
export class Zone {
  /** In small letters, without the final dot. */
  readonly name: string
  /** Seconds. */
  readonly ttlSeconds: number
  readonly #place: RecordPlace
  readonly #nodes = new SteadyMap<string, Node>()
  /** How many names have the same hash. */
  readonly #hashes = new SteadyMap<number, number>()
  readonly #apexes: readonly string[]
  /** What each service, Pod and namespace has put here. */
  readonly #given = new SteadyMap<string, ReadonlyMap<string, Line>>()
  /** How many have put the same line here, if more than one has. */
  readonly #counts = new SteadyMap<string, number>()
  readonly #listeners = new Set<(names: ReadonlySet<string>) => void>()
  #serial: number

  /** @throws ValidationError */
  constructor(options: ZoneOptions = {}) {
    const { name = 'cluster.local', podRecords = 'disabled', ttlSeconds = 5, serial = 1 } = options
    const { nameservers = [], hasReverse = true } = options
    const canonical = canonicalName(name)
    if (canonical === undefined) throw new ValidationError('name', name, 'a name such as cluster.local')
    if (!(Number.isInteger(ttlSeconds) && ttlSeconds >= 0 && ttlSeconds <= 0x7fff_ffff)) {
      throw new ValidationError('ttlSeconds', ttlSeconds, 'an integer from 0 to 2147483647')
    }
    if (!['disabled', 'insecure', 'verified'].includes(podRecords)) {
      throw new ValidationError('podRecords', podRecords, '"disabled", "insecure" or "verified"')
    }
    this.name = canonical
    this.ttlSeconds = ttlSeconds
    this.#serial = serial >>> 0
    this.#place = { zone: canonical, podRecords, hasReverse }
    this.#apexes = hasReverse ? [canonical, ...reverseApexes] : [canonical]
    const own = new Lines()
    for (const apex of this.#apexes) own.add(apex, 'NS', `ns.dns.${canonical}`)
    own.add(`ns.dns.${canonical}`, '', '')
    for (const [index, text] of nameservers.entries()) {
      const address = canonicalAddress(text)
      if (address === undefined) throw new ValidationError(`nameservers[${index}]`, text, 'an IP address')
      own.add(`ns.dns.${canonical}`, familyOf(address) === 'ipv4' ? 'A' : 'AAAA', address)
    }
    // 2.2
    own.add(`dns-version.${canonical}`, 'TXT', '1.1.0')
    own.add(`svc.${canonical}`, '', '')
    if (podRecords !== 'disabled') own.add(`pod.${canonical}`, '', '')
    this.#give('', own.all, new Set())
  }

  /** Rises with every step that changes anything, round the circle of RFC 1982. */
  get serial(): number {
    return this.#serial
  }

  /** Takes a step. @returns whether anything is another now */
  apply({ services = [], pods = [], namespaces = [] }: ZoneChange): boolean {
    const changed = new Set<string>()
    const none: ReadonlyMap<string, Line> = new Map()
    for (const [id, service] of services) {
      this.#give(`s ${id}`, service === undefined ? none : linesOfService(service, this.#place).all, changed)
    }
    for (const [id, pod] of pods) {
      this.#give(`p ${id}`, pod === undefined ? none : linesOfPod(pod, this.#place).all, changed)
    }
    for (const [name, isThere] of namespaces) {
      const lines = new Lines()
      if (isThere) addNamespace(lines, name, this.#place)
      this.#give(`n ${name}`, lines.all, changed)
    }
    if (changed.size === 0) return false
    this.#serial = (this.#serial + 1) >>> 0
    for (const listener of this.#listeners) listener(changed)
    return true
  }

  /** Tells of names whose answers are others now, after each step. @returns what ends it */
  watch(listener: (names: ReadonlySet<string>) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** The zone that holds a name: this one, or the one of addresses. */
  apexOf(name: string): string | undefined {
    return this.#apexes.find((apex) => isWithin(name, apex))
  }

  /** Whether a name is one of what was given, and not only above such ones; not of those that any address has. */
  has(name: string): boolean {
    return (this.#nodes.get(name)?.sets.size ?? 0) > 0
  }

  /** Whether any address has a name. */
  get hasAnyPods(): boolean {
    return this.#place.podRecords === 'insecure'
  }

  /** False where no name has that hash (`nameHash`), so that there is no such name. @internal */
  mayHave(hash: number): boolean {
    return this.#hashes.has(hash)
  }

  /** The SOA record of a zone that `apexOf` gives. */
  soa(apex: string): ResourceRecord {
    const { name, ttlSeconds } = this
    const data = `ns.dns.${name} hostmaster.${name} ${this.#serial} 7200 1800 86400 ${ttlSeconds}`
    return { name: apex, type: 'SOA', ttl: ttlSeconds, data }
  }

  /**
   * Looks up a name within the zone, in small letters and without the final dot.
   * @param type as `A`; of `ANY` one type that there is is told (RFC 8482)
   * @param turn which of several records comes first
   */
  lookup(name: string, type: string, turn = 0): ZoneAnswer {
    const answers: ResourceRecord[] = []
    let wanted = name
    for (let step = 0; ; step++) {
      const apex = this.apexOf(wanted)
      if (apex === undefined) return { ...found(answers), leadsTo: wanted }
      if (wanted === apex && (type === 'SOA' || type === 'ANY')) {
        answers.push(this.soa(apex))
        return found(answers)
      }
      const node = this.#nodes.get(wanted) ?? this.#anyPod(wanted)
      if (node === undefined) return { ...this.#nothing(apex, answers), rcode: 'NXDOMAIN' }
      const set = node.sets.get(type as RecordType)
      if (set !== undefined) {
        const records = this.#records(wanted, type as RecordType, set, turn)
        answers.push(...records)
        return { ...found(answers), additionals: this.#addresses(set, type) }
      }
      const alias = node.sets.get('CNAME')?.[0]
      if (type === 'ANY') {
        for (const [other, data] of node.sets) {
          if (other !== '') return found([...answers, ...this.#records(wanted, other, data, turn)])
        }
      }
      if (alias === undefined || step === longestChain) return this.#nothing(apex, answers)
      answers.push(...this.#records(wanted, 'CNAME', [alias], 0))
      wanted = alias
    }
  }

  /** Every record of it, sorted: what the zone is. */
  records(): ResourceRecord[] {
    const records: ResourceRecord[] = this.#apexes.map((apex) => this.soa(apex))
    for (const name of [...this.#nodes.keys()].sort()) {
      const { sets } = this.#nodes.get(name)!
      for (const type of [...sets.keys()].sort()) {
        if (type !== '') records.push(...this.#records(name, type, sets.get(type)!, 0))
      }
    }
    return records
  }

  #records(name: string, type: RecordType, set: readonly string[], turn: number): ResourceRecord[] {
    const { length } = set
    const ttl = this.ttlSeconds
    const records = new Array<ResourceRecord>(length)
    for (let index = 0; index < length; index++) {
      records[index] = { name, type, ttl, data: set[(index + turn) % length]! }
    }
    return records
  }

  /** Of the names that SRV and NS lead to, as far as they are ours. */
  #addresses(set: readonly string[], type: string): readonly ResourceRecord[] {
    if (type !== 'SRV' && type !== 'NS') return nothing
    const targets = new Set(set.map((data) => data.slice(data.lastIndexOf(' ') + 1)))
    const records: ResourceRecord[] = []
    for (const target of targets) {
      const sets = this.#nodes.get(target)?.sets
      records.push(...this.#records(target, 'A', sets?.get('A') ?? nothing, 0))
      records.push(...this.#records(target, 'AAAA', sets?.get('AAAA') ?? nothing, 0))
    }
    return records
  }

  #nothing(apex: string, answers: readonly ResourceRecord[]): ZoneAnswer {
    return { rcode: 'NOERROR', answers, authorities: [this.soa(apex)], additionals: nothing }
  }

  /** `10-0-0-7.default.pod.cluster.local`, where any address has a name. */
  #anyPod(name: string): Pick<Node, 'sets'> | undefined {
    if (this.#place.podRecords !== 'insecure' || !isWithin(name, `pod.${this.name}`)) return undefined
    const dot = name.indexOf('.')
    const address = addressOfLabel(name.slice(0, dot))
    const namespace = name.slice(dot + 1)
    const isNamespace = namespace.indexOf('.') === namespace.length - `.pod.${this.name}`.length
    if (address === undefined || !isNamespace || !this.#nodes.has(namespace)) return undefined
    return { sets: new Map([[familyOf(address) === 'ipv4' ? 'A' : 'AAAA', [address]]]) }
  }

  /** Puts lines here in the place of those that the same one has put here before. */
  #give(who: string, lines: ReadonlyMap<string, Line>, changed: Set<string>): void {
    const before = this.#given.get(who)
    let isChanged = false
    // What is new first: names that stay are not taken away in between, nor those above them.
    for (const [key, line] of lines) {
      if (before?.has(key) !== true) isChanged = this.#add(key, line, changed) || isChanged
    }
    if (before !== undefined) {
      for (const [key, line] of before) {
        if (!lines.has(key)) isChanged = this.#remove(key, line, changed) || isChanged
      }
    }
    if (lines.size === 0) this.#given.delete(who)
    else this.#given.set(who, lines)
    if (!isChanged) return
    // Answers hold what other names of the same service have: addresses of its endpoints.
    for (const [name] of lines.values()) changed.add(name)
  }

  #add(key: string, [name, type, data]: Line, changed: Set<string>): boolean {
    const node = this.#node(name)
    const set = node.sets.get(type)
    if (set === undefined) node.sets.set(type, [data])
    else {
      const at = placeIn(set, data)
      if (set[at] === data) {
        this.#counts.set(key, (this.#counts.get(key) ?? 1) + 1)
        return false
      }
      set.splice(at, 0, data)
    }
    changed.add(name)
    return true
  }

  #remove(key: string, [name, type, data]: Line, changed: Set<string>): boolean {
    const count = this.#counts.get(key)
    if (count !== undefined) {
      if (count === 2) this.#counts.delete(key)
      else this.#counts.set(key, count - 1)
      return false
    }
    const { sets } = this.#nodes.get(name)!
    const set = sets.get(type)!
    set.splice(placeIn(set, data), 1)
    if (set.length === 0) sets.delete(type)
    changed.add(name)
    this.#prune(name)
    return true
  }

  /** A name, and those that it is below. */
  #node(name: string): Node {
    const known = this.#nodes.get(name)
    if (known !== undefined) return known
    const node: Node = { children: 0, sets: new Map() }
    this.#nodes.set(name, node)
    const hash = nameHash(name)
    this.#hashes.set(hash, (this.#hashes.get(hash) ?? 0) + 1)
    if (!this.#apexes.includes(name)) this.#node(parentOf(name)).children++
    return node
  }

  #prune(name: string): void {
    const node = this.#nodes.get(name)!
    if (node.children > 0 || node.sets.size > 0) return
    this.#nodes.delete(name)
    const hash = nameHash(name)
    const count = this.#hashes.get(hash)!
    if (count === 1) this.#hashes.delete(hash)
    else this.#hashes.set(hash, count - 1)
    const parent = parentOf(name)
    this.#nodes.get(parent)!.children--
    this.#prune(parent)
  }
}

const nothing: readonly never[] = []

function found(answers: readonly ResourceRecord[]): ZoneAnswer {
  return { rcode: 'NOERROR', answers, authorities: nothing, additionals: nothing }
}

function parentOf(name: string): string {
  return name.slice(name.indexOf('.') + 1)
}

/** Where it is, or would be. */
function placeIn(sorted: readonly string[], data: string): number {
  let from = 0
  let to = sorted.length
  while (from < to) {
    const middle = (from + to) >> 1
    if (sorted[middle]! < data) from = middle + 1
    else to = middle
  }
  return from
}
