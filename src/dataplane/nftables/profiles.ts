/**
 * What frontends have in common is a profile: a chain for all that have the same one. There are as many as there are
 * different numbers of servers, policies and ways to choose, not as many as services.
 */
import { type AddressFamily, ipProtocols } from '../../address/index.js'
import type { Expressions, FamilyWords } from '../ruleset/words.js'
import {
  compare,
  end,
  find,
  goto,
  hostNumber,
  isFamily,
  isMissing,
  isOwn,
  loadDestination,
  loadPort,
  loadSource,
  masked,
  setMarkBit,
  verdictFrom,
  word,
  wordsOf,
} from '../ruleset/words.js'
import { profilesMap, type SetNames, setNames } from '../ruleset/sets.js'
import type { RulesetSettings } from '../ruleset/settings.js'
import type { TrafficPolicy } from '../../model/index.js'

/** How one of some servers is taken. */
export type Method = 'random' | 'source-hash' | 'round-robin'

/** Servers of one policy, as rules see them. */
export interface Pool {
  /** How many slots there are; 0 for none. */
  readonly slots: number
  /** Whether there are others that may not be taken. */
  readonly others: boolean
}

export interface Profile {
  readonly family: AddressFamily
  /** Which map it is found in. */
  readonly entry: 'services' | 'node-ports'
  /** `cluster`: from inside. `external`: from outside, where others than the client may have to answer. */
  readonly side: 'cluster' | 'external'
  /** Only clients of some prefixes. */
  readonly isLimited: boolean
  readonly policy: TrafficPolicy
  readonly cluster: Pool
  readonly local: Pool
  readonly method: Method
  readonly affinitySeconds: number | undefined
  /** Where each service has to count by itself: its id. */
  readonly own: number | undefined
}

/** Slots of the local pool are counted from here. */
export const localSlots = 0x8000_0000

/** A chain and what is in it. */
export interface ChainRules {
  readonly name: string
  readonly rules: readonly Expressions[]
}

export const rejectChain = 'refuse'

/** The profile's chain and those that it goes on to. The first one is its own. */
export function chainsOf(profile: Profile, settings: RulesetSettings): ChainRules[] {
  const chains: ChainRules[] = []
  const rules = rulesOf(profile, settings, (local) => {
    const pool = local ? profile.local : profile.cluster
    if (pool.slots === 0) return pool.others ? end('drop') : goto(rejectChain)
    const chain = choiceChain(profile, local)
    if (chains.every(({ name }) => name !== chain.name)) chains.push(chain)
    return goto(chain.name)
  })
  return [{ name: profileName(profile), rules }, ...chains]
}

export function profileName(profile: Profile): string {
  const { family, entry, side, isLimited, policy } = profile
  const poolName = ({ slots, others }: Pool): string => (slots === 0 && others ? 'others' : String(slots))
  const servers =
    policy === 'local' && side === 'external'
      ? `${poolName(profile.cluster)}-${poolName(profile.local)}`
      : poolName(policy === 'local' ? profile.local : profile.cluster)
  const start = `${family}-${entry}-${side}-${policy}${isLimited ? '-limited' : ''}-${servers}`
  return `${start}-${methodName(profile)}`
}

const names =
  /^(ipv[46])-(services|node-ports)-(cluster|external)-(cluster|local)(-limited)?-(others|\d{1,6})(?:-(others|\d{1,6}))?-(random|source-hash|round-robin)(?:-(\d{1,9}))?(?:-affinity-(\d{1,6}))?$/

/** The profile of a name, as far as its chains depend on it; undefined if none has such a name. */
export function profileOfName(name: string): Profile | undefined {
  const found = names.exec(name)
  if (found === null) return undefined
  const [family, entry, side, policy, limited, one, other, method, own, affinity] = found.slice(1)
  const pool = (text: string | undefined): Pool => ({ slots: Number(text) || 0, others: text === 'others' })
  const profile = {
    family,
    entry,
    side,
    isLimited: limited !== undefined,
    policy,
    cluster: pool(one),
    local: pool(other ?? one),
    method,
    affinitySeconds: affinity === undefined ? undefined : Number(affinity),
    own: own === undefined ? undefined : Number(own),
  } as Profile
  return profileName(profile) === name ? profile : undefined
}

function methodName({ method, affinitySeconds, own }: Profile): string {
  const affinity = affinitySeconds === undefined ? '' : `-affinity-${affinitySeconds}`
  return `${method}${own === undefined ? '' : `-${own}`}${affinity}`
}

function rulesOf(
  profile: Profile,
  settings: RulesetSettings,
  toPool: (local: boolean) => ReturnType<typeof goto>,
): Expressions[] {
  const { side, policy, isLimited } = profile
  const words = wordsOf(profile.family)
  const names = setNames(words)
  const rules: Expressions[] = []
  if (isLimited) rules.push(limitRule(profile, words, names))
  const mark = setMarkBit(settings.masqueradeBit)
  const knowsPods = settings.clusterRanges.length > 0
  const isPod: Expressions = [loadSource(words, 0), find(names.clusterRanges, 0)]
  if (side === 'cluster') {
    if (settings.masqueradeAll) rules.push(mark)
    else if (knowsPods) rules.push([loadSource(words, 0), isMissing(names.clusterRanges, 0), ...mark])
    rules.push([toPool(policy === 'local')])
    return rules
  }
  if (policy === 'cluster') {
    rules.push(mark, [toPool(false)])
    return rules
  }
  // Pods and the node itself stand for clients inside: they reach every server, and need no node between.
  if (knowsPods) rules.push([...isPod, toPool(false)])
  rules.push([...isOwn('saddr'), ...mark], [...isOwn('saddr'), toPool(false)], [toPool(true)])
  return rules
}

/**
 * Words: what the maps of frontends have ends where the key that it was found by ended, so that of a word of the address, the
 * profile and the id the last two stand where protocol and port were.
 */
function profileWord({ words }: FamilyWords): number {
  return words
}
function idWord({ words }: FamilyWords): number {
  return words + 1
}
/** Where what a map has begins. */
function frontendWord({ words }: FamilyWords): number {
  return words - 1
}

/** Looks the packet's frontend up again: no register is set where a chain begins. */
function findService(entry: Profile['entry'], words: FamilyWords, names: SetNames): Expressions {
  const to = frontendWord(words)
  const port = loadPort(profileWord(words))
  if (entry === 'services') return [loadDestination(words, 0), ...port, find(names.services, 0, to)]
  return [...port, find(names.nodePorts, to + 1, to)]
}

function limitRule({ entry }: Profile, words: FamilyWords, names: SetNames): Expressions {
  const id = idWord(words)
  return [
    ...findService(entry, words, names),
    loadSource(words, id + 1),
    isMissing(names.sourceRanges, id),
    end('drop'),
  ]
}

function choiceChain(profile: Profile, local: boolean): ChainRules {
  const { entry, method, affinitySeconds } = profile
  const words = wordsOf(profile.family)
  const names = setNames(words)
  const { slots } = local ? profile.local : profile.cluster
  const offset = local ? localSlots : 0
  const id = idWord(words)
  const service = findService(entry, words, names)
  const slot = chooseSlot(method, slots, offset, words, id + 1)
  const choose: Expressions = [...service, ...slot, find(names.backends, id, id + 1)]
  const toServer = translate(words, id + 1)
  const plain: Expressions = [...choose, toServer]
  const name = `choose-${profile.family}-${entry}-${local ? 'local' : 'cluster'}-${slots}-${methodName(profile)}`
  if (affinitySeconds === undefined) return { name, rules: [plain] }

  // `saddr . id`: the address takes the place of what the frontend was found by.
  const key = id - words.words
  const client = loadSource(words, key)
  // Also to delete from a map the kernel wants a register with data (nft_dynset_init).
  const remember = (operation: 'update' | 'delete'): Expressions[number] => ({
    name: 'dynset',
    set: names.affinity,
    operation,
    keyRegister: word(key),
    dataRegister: word(id + 1),
    timeoutMilliseconds: affinitySeconds * 1000,
  })
  const { before, after } = listable(words, id + 1)
  return {
    name,
    rules: [
      // Where it was before, if that is still there: `id . address . port` in a row.
      [
        ...service,
        ...before,
        client,
        find(names.affinity, key, id + 1),
        ...after,
        find(local ? names.localEndpoints : names.endpoints, id),
        remember('update'),
        toServer,
      ],
      // Another one, remembered in its place: an update changes the timeout alone.
      [...before, ...choose, ...after, client, remember('delete'), remember('update'), toServer],
      // Nothing more can be remembered, which ends a rule.
      plain,
    ],
  }
}

/**
 * What is loaded from a map, `address . port` at the word, as a part of a key. nft lists a rule by what was loaded into each
 * register last; of a map's data it knows the first word alone, and no length of it. Where it looks for a key's part and
 * finds one of these it ends with an assertion (netlink_parse_concat_expr), and with it every `nft list ruleset` of this
 * host. So something else is loaded where the data is going to be, and its first word goes through the mark.
 */
function listable(
  family: FamilyWords,
  at: number,
): { readonly before: Expressions; readonly after: Expressions } {
  const spare = at + family.words + 1
  const mark = (key: 'sourceRegister' | 'destinationRegister', where: number): Expressions[number] => ({
    name: 'meta',
    key: 'mark',
    [key]: word(where),
  })
  const scratch: Expressions =
    family.words === 1
      ? []
      : [{ name: 'payload', destinationRegister: word(at + 1), base: 'network', offset: 8, length: 12 }]
  return {
    before: [mark('destinationRegister', spare), mark('destinationRegister', spare - 1), ...scratch],
    after: [mark('sourceRegister', at), mark('destinationRegister', at), mark('sourceRegister', spare)],
  }
}

/** Makes equal clients equal on every node and after every start. */
const hashSeed = 0x7669_6164

function chooseSlot(
  method: Method,
  slots: number,
  offset: number,
  words: FamilyWords,
  to: number,
): Expressions {
  if (method === 'source-hash') {
    return [
      loadSource(words, to),
      {
        name: 'hash',
        type: 'jenkins',
        sourceRegister: word(to),
        destinationRegister: word(to),
        length: words.addressBytes,
        modulus: slots,
        seed: hashSeed,
        // The kernel does not tell of none.
        ...(offset === 0 ? {} : { offset }),
      },
    ]
  }
  const type = method === 'random' ? 'random' : 'incremental'
  return [{ name: 'numgen', type, destinationRegister: word(to), modulus: slots, offset }]
}

/** To `address . port` from the word. */
function translate({ family, words }: FamilyWords, from: number): Expressions[number] {
  return {
    name: 'nat',
    type: 'dnat',
    family: family === 'ipv4' ? 'ip' : 'ip6',
    addressMinimumRegister: word(from),
    portMinimumRegister: word(from + words),
  }
}

/** What every packet that begins a flow meets: frontends, node ports, and what no service answers. */
export function dispatchRules(words: FamilyWords): Expressions[] {
  const names = setNames(words)
  const isTheirs = isFamily(words)
  const toProfile = verdictFrom(profilesMap, profileWord(words))
  return [
    [...isTheirs, ...goesOn(words), loadDestination(words, 0), ...isEnded(words, names), goto(rejectChain)],
    [...isTheirs, ...findService('services', words, names), toProfile],
    [
      ...isTheirs,
      loadDestination(words, 0),
      find(names.nodePortAddresses, 0),
      ...notLoopback(words),
      ...isOwn('daddr'),
      ...findService('node-ports', words, names),
      toProfile,
    ],
    [...isTheirs, loadDestination(words, 0), find(names.clusterAddresses, 0), goto(rejectChain)],
    [...isTheirs, loadDestination(words, 0), find(names.serviceRanges, 0), end('drop')],
  ]
}

/** The SYN bit of the flags (RFC 9293, 3.1), which begin at this byte. */
const [flagsOffset, syn] = [13, 0x02]

/** A packet of TCP that begins no connection, and belongs to no flow that is known: no other rule of type `nat` sees it. */
function goesOn({ words }: FamilyWords): Expressions {
  const at = word(words)
  return [
    { name: 'meta', key: 'l4proto', destinationRegister: at },
    compare(words, '==', [ipProtocols.tcp]),
    { name: 'payload', destinationRegister: at, base: 'transport', offset: flagsOffset, length: 1 },
    {
      name: 'bitwise',
      sourceRegister: at,
      destinationRegister: at,
      length: 1,
      mask: Uint8Array.of(syn),
      xor: Uint8Array.of(0),
      operation: 'mask-xor',
    },
    compare(words, '==', [0]),
  ]
}

/** Of the destination that was loaded into the first words. */
function isEnded({ words }: FamilyWords, names: SetNames): Expressions {
  return [
    { name: 'payload', destinationRegister: word(words), base: 'transport', offset: 2, length: 2 },
    find(names.ended, 0),
  ]
}

/** A listener of the node's own on its loopback is not for others, even where all addresses answer node ports. */
function notLoopback({ words }: FamilyWords): Expressions {
  if (words === 1) {
    return [masked(0, Uint8Array.of(255, 0, 0, 0), hostNumber(0), 1), compare(1, '!=', [127, 0, 0, 0])]
  }
  return [compare(0, '!=', [...new Uint8Array(15), 1])]
}
