/**
 * The nf_tables table that stands beside IPVS. Its rules are the same for all services and depend on the node alone;
 * services are elements of its sets and maps, each of which is data: no chain and no verdict of its own.
 *
 * IPVS takes packets at input and, of the node's own, at output (NF_IP_PRI_NAT_SRC - 1 and NF_IP_PRI_NAT_DST + 2,
 * ip_vs_core.c). What must not reach it is judged before, at -110 in prerouting and output; who is masqueraded is decided
 * at postrouting, where IPVS has chosen the server already.
 *
 * Everywhere the service is found by the original direction of the connection, which has the address that the client
 * asked for: that of the packet is another one once IPVS has had it, and it then comes by output once more
 * (ip_vs_nat_send_or_cont). So no mark has to be carried to postrouting.
 */
import { createHash } from 'node:crypto'
import type { DataType } from '../../nftables/builder/datatypes.js'
import {
  type ElementInput,
  NamedMap,
  NamedSet,
  type SetInput,
  type Transaction,
  types,
  VerdictMap,
} from '../../nftables/index.js'
import type { WantedChain } from '../ruleset/compare.js'
import { prefixElements } from '../ruleset/sets.js'
import { commentStarts, type RulesetSettings } from '../ruleset/settings.js'
import {
  compare,
  end,
  type Expressions,
  families,
  type FamilyWords,
  find,
  goto,
  hostNumber,
  isFamily,
  isMissing,
  isOwn,
  loadDestination,
  loadSource,
  rejections,
  word,
} from '../ruleset/words.js'

import { learningChains, learnersMap, recall } from './affinity.js'
import {
  findService,
  has,
  isNew,
  isEqual,
  isNone,
  firstMark,
  kindBits,
  ownMarks,
  packetMark,
  markWord,
  setNames,
  trait,
  traitsWord,
} from './words.js'

/** Raised when rules, sets or the meaning of their elements change. */
const layoutVersion = 2

/** A flood of new clients fills it and no more; who finds no room is served without affinity. */
const mostRemembered = 1_048_576

/** What a table of these rules is told by. */
export function tableComment({ clusterRanges, serviceRanges, masqueradeAll }: RulesetSettings): string {
  const facts = JSON.stringify([layoutVersion, clusterRanges, serviceRanges, masqueradeAll])
  return `${commentStarts.ipvs}${createHash('sha256').update(facts).digest('hex').slice(0, 16)}`
}

/** The table with everything but the elements of services. */
export function addTable(transaction: Transaction, settings: RulesetSettings): void {
  const { name } = settings
  const place = { family: 'inet', table: name } as const
  transaction.add('table', { family: 'inet', name, comment: tableComment(settings) })
  for (const set of setsOf(settings)) transaction.add('set', set)
  for (const { set, elements } of rangesOf(settings)) {
    if (elements.length > 0) transaction.add('elements', { ...place, set, elements })
  }
  const chains = chainsOf(settings)
  // Rules lead to chains that are named later.
  for (const { rules: _, ...chain } of chains) transaction.add('chain', { ...place, ...chain })
  for (const { name: chain, rules } of chains) {
    for (const expressions of rules) transaction.add('rule', { ...place, chain, expressions })
  }
}

/** All that there are, but for those that remember clients for one length of time. */
export function chainsOf(settings: RulesetSettings): WantedChain[] {
  const judging = families.map((words): Expressions => [
    ...isNew,
    ...isFamily(words),
    goto(`judge${words.suffix}`),
  ])
  const concealing = families.map((words): Expressions => [
    ...isFamily(words),
    goto(`conceal${words.suffix}`),
  ])
  return [
    { name: 'refuse', rules: rejections },
    ...families.flatMap((words): WantedChain[] => [
      { name: `judge${words.suffix}`, rules: judgeRules(words) },
      { name: `inside${words.suffix}`, rules: insideRules(words) },
      { name: `conceal${words.suffix}`, rules: concealRules(words, settings) },
    ]),
    ...(['prerouting', 'output'] as const).map((hook): WantedChain => ({
      name: hook,
      type: 'filter',
      hook,
      priority: -110,
      rules: judging,
    })),
    { name: 'postrouting', type: 'nat', hook: 'postrouting', priority: 100, rules: concealing },
    ...learningChains(),
  ]
}

/** Elements that are the node's and not services'. */
export function rangesOf(settings: RulesetSettings): { set: string; elements: ElementInput[] }[] {
  return families.flatMap((words) => {
    const names = setNames(words)
    return [
      { set: names.clusterRanges, elements: prefixElements(words, settings.clusterRanges) },
      { set: names.serviceRanges, elements: prefixElements(words, settings.serviceRanges) },
    ]
  })
}

export function setsOf({ name: table }: RulesetSettings): SetInput[] {
  const place = { family: 'inet', table } as const
  return [
    ...families.flatMap((words) => setsOfFamily(place, words)),
    new VerdictMap({ ...place, name: learnersMap }, types.mark).input,
  ]
}

function setsOfFamily(
  place: { readonly family: 'inet'; readonly table: string },
  words: FamilyWords,
): SetInput[] {
  const names = setNames(words)
  const { mark: number, inetProto, inetService } = types
  const address = words.family === 'ipv4' ? types.ipv4Addr : types.ipv6Addr
  const set = (name: string, key: DataType<never>, flags: readonly 'interval'[] = []): SetInput =>
    new NamedSet({ ...place, name }, key, { flags }).input
  return [
    new NamedMap(
      { ...place, name: names.services },
      types.concatenated([address, inetProto, inetService]),
      types.concatenated([number, number, number]),
    ).input,
    new NamedMap(
      { ...place, name: names.affinity },
      types.concatenated([number, address]),
      types.concatenated([number, address, inetService, number]),
      { flags: ['timeout', 'dynamic'], size: mostRemembered },
    ).input,
    ...[names.choices, names.localChoices].map(
      (name) =>
        new NamedMap(
          { ...place, name },
          types.concatenated([address, inetService, number]),
          types.concatenated([number, number]),
        ).input,
    ),
    set(names.sources, types.concatenated([number, address]), ['interval']),
    set(names.hairpins, types.concatenated([address, address])),
    set(names.addresses, address),
    set(names.clusterRanges, address, ['interval']),
    set(names.serviceRanges, address, ['interval']),
  ]
}

/** What a new connection meets before IPVS does. */
function judgeRules(words: FamilyWords): Expressions[] {
  const names = setNames(words)
  const isPod: Expressions = [loadSource(words, 0), find(names.clusterRanges, 0)]
  const isOfService: Expressions = [loadDestination(words, 0), find(names.addresses, 0)]
  return [
    [
      ...has(words, trait.restricted),
      loadSource(words, markWord(words) + 1),
      isMissing(names.sources, markWord(words)),
      end('drop'),
    ],
    ...[isPod, isOwn('saddr')].map((isInside) => [
      ...isInside,
      ...has(words, trait.split),
      goto(`inside${words.suffix}`),
    ]),
    // Who may not have servers elsewhere is remembered with one of the node's own.
    [...has(words, trait.local), ...recall(words, true), end('accept')],
    [
      ...findService(words),
      ...isNone(traitsWord(words), trait.local),
      ...recall(words, false),
      end('accept'),
    ],
    [...has(words, trait.reject), goto('refuse')],
    [...has(words, trait.drop), end('drop')],
    [...findService(words), end('accept')],
    ...[6, 17, 132].map((protocol) => [
      { name: 'meta', key: 'l4proto', destinationRegister: word(0) } as const,
      compare(0, '==', [protocol]),
      ...isOfService,
      goto('refuse'),
    ]),
    // The address answers a ping.
    [...isOfService, end('accept')],
    [loadDestination(words, 0), find(names.serviceRanges, 0), end('drop')],
  ]
}

/** Pods and the node itself, where others get the servers of the node alone. */
function insideRules(words: FamilyWords): Expressions[] {
  const setMark = packetMark('sourceRegister', markWord(words))
  return [
    [...findService(words), ...recall(words, false), end('accept')],
    [...findService(words), setMark, end('accept')],
  ]
}

const masquerade: Expressions[number] = { name: 'masq', flags: ['fully-random'] }

/** At other addresses servers see who comes where the policy is Local, and somebody else's service is left alone. */
function isClusterAddress(words: FamilyWords): Expressions {
  return [
    ...findService(words),
    ...isEqual(traitsWord(words), trait.kind | trait.foreign, kindBits('cluster')),
  ]
}

/** Whom servers see. A nat chain is asked once for each connection. */
function concealRules(words: FamilyWords, { masqueradeAll, clusterRanges }: RulesetSettings): Expressions[] {
  const names = setNames(words)
  const isNoPod: Expressions = [loadSource(words, 0), isMissing(names.clusterRanges, 0)]
  return [
    // A server on the node itself: nothing has to come back from anywhere.
    [
      { name: 'meta', key: 'oifname', destinationRegister: word(0) },
      compare(0, '==', new TextEncoder().encode('lo\0')),
      end('return'),
    ],
    // A connection between a host and itself is told by its addresses: nothing else looks like that.
    [loadSource(words, 0), loadDestination(words, words.words), find(names.hairpins, 0), masquerade],
    // The mark was for IPVS alone.
    [
      packetMark('destinationRegister', 0),
      ...isEqual(0, ownMarks, firstMark),
      { name: 'immediate', destinationRegister: word(0), data: hostNumber(0) },
      packetMark('sourceRegister', 0),
    ],
    ...(masqueradeAll ? [[...isClusterAddress(words), masquerade]] : []),
    [...has(words, trait.masquerade), masquerade],
    ...(clusterRanges.length > 0 ? [[...isNoPod, ...has(words, trait.masqueradeOutside), masquerade]] : []),
    // The node's own connections come from the virtual address itself, to which the route is the local one.
    [...isOwn('saddr'), ...findService(words), masquerade],
  ]
}
