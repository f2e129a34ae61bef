/** What the rules, the elements and whoever reads them have in common: traits, names of sets, where data stands. */
import { readHostNumber, writeHostNumber } from '../ruleset/sets.js'
import {
  compare,
  type Expressions,
  families,
  type FamilyWords,
  find,
  hostNumber,
  masked,
  word,
} from '../ruleset/words.js'

/** What the table is told of a frontend: bits of the number that it has in the map of services. */
export const trait = {
  /** No server at all: clients are refused. */
  reject: 0x1,
  /** Servers, and none that may be used: silence. */
  drop: 0x2,
  /** Servers see the node, whoever the client is. */
  masquerade: 0x4,
  /** Servers see the node instead of clients that are no Pods. */
  masqueradeOutside: 0x8,
  /** Clients must be in the set of sources. */
  restricted: 0x10,
  /** Pods and the node itself are given the mark of the service with all servers. */
  split: 0x8000_0000,
  /** Its servers are those of this node alone. */
  local: 0x4000_0000,
  /** Somebody else's IPVS service: it is let through, and no claim. */
  foreign: 0x800_0000,
  /** Which kind of frontend, in two bits: the dataplane reads it back. */
  kind: 0x3000_0000,
  /** How long a client stays with its server, where the table remembers it. */
  seconds: 0x7ff_ffe0,
} as const
const kinds = ['cluster', 'external', 'load-balancer', 'node-port'] as const
const kindShift = 28

export function kindBits(kind: (typeof kinds)[number]): number {
  return kinds.indexOf(kind) << kindShift
}

export function kindOfBits(bits: number): (typeof kinds)[number] {
  return kinds[(bits & trait.kind) >> kindShift]!
}

/** Of services that have one server alone, for clients that stay with it. */
export const firstServerMark = 0x7700_0000
/** Marks of services with all servers are this and the number of the virtual service. */
export const firstMark = 0x7600_0000
export const mostServices = 0xff_ffff
/** What all of these have in common. */
export const ownMarks = 0xfe00_0000

/** Sets of one family. */
export function setNames({ suffix }: FamilyWords) {
  return {
    /** `daddr . l4proto . dport` → `0 . traits . mark`: each is also the claim that the IPVS service of this name is ours. */
    services: `services${suffix}`,
    /** `mark . saddr`, with both ends: who may come. */
    sources: `source-ranges${suffix}`,
    /** `address . address` of servers: who reaches itself has to see somebody else. */
    hairpins: `hairpin${suffix}`,
    /** Those that are on the interface: other ports of them are refused. */
    addresses: `addresses${suffix}`,
    /** `mark . saddr` → `0 . address . port . mark`: where a client was, filled by rules. */
    affinity: `affinity${suffix}`,
    /** `address . port . mark` → `0 . mark of its own`: servers that remembered clients may go on with. */
    choices: `servers${suffix}`,
    localChoices: `local-servers${suffix}`,
    clusterRanges: `cluster-ranges${suffix}`,
    serviceRanges: `service-ranges${suffix}`,
  } as const
}
/** Sets whose elements are services'. */
export const entrySets = ['services', 'choices', 'localChoices', 'sources', 'hairpins', 'addresses'] as const
export type EntryKind = (typeof entrySets)[number]

/** What a set is for, by its name. */
export const kindsOfEntries: ReadonlyMap<string, { readonly kind: EntryKind; readonly words: FamilyWords }> =
  new Map(families.flatMap((words) => entrySets.map((kind) => [setNames(words)[kind], { kind, words }])))

/**
 * The map's data. It begins with a word that nobody reads: where a rule goes on with the first word of what it has looked up
 * nft cannot list it.
 */
export function serviceData(traits: number, mark: number): Uint8Array {
  const bytes = new Uint8Array(12)
  writeHostNumber(bytes, 4, traits)
  writeHostNumber(bytes, 8, mark)
  return bytes
}
export function readServiceData(data: Uint8Array): { readonly traits: number; readonly mark: number } {
  return { traits: readHostNumber(data, 4), mark: readHostNumber(data, 8) }
}
/** The same of a server: nothing, and the mark of its own. */
export function choiceData(mark: number): Uint8Array {
  const bytes = new Uint8Array(8)
  writeHostNumber(bytes, 4, mark)
  return bytes
}
export function readChoiceData(data: Uint8Array): number {
  return readHostNumber(data, 4)
}

/**
 * Where a found service's data stands: behind the key. nft lists a rule by what was loaded into each register, and knows
 * nothing of what a map puts there: where nothing was loaded it says that something is missing, and where that was shorter it
 * ends with an assertion, and with it every `nft list ruleset` of this host. So what is as long is loaded before.
 */
function dataWord({ words }: FamilyWords): number {
  return words + 1
}
export function traitsWord(of: FamilyWords): number {
  return dataWord(of) + 1
}
export function markWord(of: FamilyWords): number {
  return dataWord(of) + 2
}
export function packetMark(key: 'sourceRegister' | 'destinationRegister', at: number): Expressions[number] {
  return { name: 'meta', key: 'mark', [key]: word(at) }
}

/** Goes on if the connection is one to a service, with what that has. */
export function findService(of: FamilyWords): Expressions {
  const { family, words, suffix } = of
  const ofConnection = (key: 'dst-ip' | 'dst-ip6' | 'proto-dst', to: number): Expressions[number] => ({
    name: 'ct',
    key,
    direction: 'original',
    destinationRegister: word(to),
  })
  return [
    ofConnection(family === 'ipv4' ? 'dst-ip' : 'dst-ip6', 0),
    { name: 'meta', key: 'l4proto', destinationRegister: word(words) },
    ofConnection('proto-dst', words + 1),
    packetMark('destinationRegister', traitsWord(of)),
    packetMark('destinationRegister', markWord(of)),
    find(`services${suffix}`, 0, dataWord(of)),
  ]
}

/** Goes on if the service has it. */
export function has(words: FamilyWords, bit: number): Expressions {
  return [...findService(words), ...isAny(traitsWord(words), bit)]
}

export function isAny(at: number, bits: number): Expressions {
  return [masked(at, hostNumber(bits)), compare(at, '!=', hostNumber(0))]
}
export function isEqual(at: number, bits: number, value: number): Expressions {
  return [masked(at, hostNumber(bits)), compare(at, '==', hostNumber(value))]
}
export function isNone(at: number, bits: number): Expressions {
  return isEqual(at, bits, 0)
}

/** `NF_CT_STATE_BIT(IP_CT_NEW)`. */
export const isNew: Expressions = [
  { name: 'ct', key: 'state', destinationRegister: word(0) },
  ...isAny(0, 0x8),
]
