/**
 * Clients that stay with their server at all addresses of a service. IPVS keeps affinity by address and port, and a
 * persistent service by firewall mark translates no ports (ip_vs_sched_persist): so where a service has several addresses
 * the table remembers. Once IPVS has chosen, the client's server is written down; at its next connection it gets the mark of
 * a service which has that one server alone, if that still takes connections.
 */
import type { Transaction } from '../../nftables/index.js'
import type { WantedChain } from '../ruleset/compare.js'
import {
  type Expressions,
  families,
  type FamilyWords,
  find,
  hostNumber,
  isFamily,
  loadDestination,
  loadPort,
  loadSource,
  verdictFrom,
  word,
} from '../ruleset/words.js'
import { findService, isAny, isNew, markWord, packetMark, setNames, trait, traitsWord } from './words.js'

/** `seconds` in the traits → the chain that remembers for so long. */
export const learnersMap = 'learners'
const secondsShift = 5
/** 22 bits; IPVS takes less, too. */
export const mostSeconds = 2_678_400

export function secondsBits(seconds: number): number {
  return (seconds << secondsShift) >>> 0
}
export function secondsOfBits(traits: number): number {
  return (traits & trait.seconds) >>> secondsShift
}

export function learnerChain(seconds: number): string {
  return `learn-${seconds}`
}

/** Where the data of a remembered client stands: nothing, the server's address and port, and the number of the virtual service. */
function dataWord(words: FamilyWords): number {
  return markWord(words) + 1
}
function markBehind(words: FamilyWords): number {
  return dataWord(words) + words.words + 2
}

/** Goes on if the client was remembered and its server is still one; the packet then has the mark of that. */
export function recall(words: FamilyWords, isLocal: boolean): Expressions {
  const { affinity, choices, localChoices } = setNames(words)
  const data = dataWord(words)
  const found = traitsWord(words)
  return [
    // For nft alone (words.ts): what the map has stands there afterwards.
    loadDestination(words, data + 1),
    loadPort(markBehind(words) - 2)[1]!,
    packetMark('destinationRegister', markBehind(words)),
    loadSource(words, data),
    find(affinity, markWord(words), data),
    find(isLocal ? localChoices : choices, data + 1, found - 1),
    packetMark('sourceRegister', found),
  ]
}

/** Where servers are remembered: IPVS has them behind its hooks at input (for one on the node itself) and at output. */
export function learningChains(): WantedChain[] {
  const rules = families.map((words): Expressions => [
    ...isNew,
    ...isFamily(words),
    ...findService(words),
    ...isAny(traitsWord(words), trait.seconds),
    verdictFrom(learnersMap, traitsWord(words)),
  ])
  return [
    // Before the source is changed, at 100.
    { name: 'learn-postrouting', type: 'filter', hook: 'postrouting', priority: 90, rules },
    { name: 'learn-input', type: 'filter', hook: 'input', priority: 110, rules },
  ]
}

/** The chain of one length of time. */
export function learnerOf(seconds: number): WantedChain {
  const rules = families.flatMap((words) => {
    const { choices, localChoices } = setNames(words)
    return [choices, localChoices].map((set) => learn(words, set, seconds))
  })
  return { name: learnerChain(seconds), rules }
}

/** It, and what leads to it. */
export function addLearner(transaction: Transaction, table: string, seconds: number): void {
  const place = { family: 'inet', table } as const
  const { name, rules } = learnerOf(seconds)
  transaction.add('chain', { ...place, name })
  for (const expressions of rules) transaction.add('rule', { ...place, chain: name, expressions })
  transaction.add('elements', { ...place, set: learnersMap, elements: [learnerElement(seconds)] })
}

export function learnerElement(seconds: number) {
  return {
    key: hostNumber(secondsBits(seconds)),
    data: { code: 'goto', chain: learnerChain(seconds) } as const,
  }
}

/** An element has no other data while it lives, so the old one goes. */
function learn(words: FamilyWords, servers: string, seconds: number): Expressions {
  const { affinity } = setNames(words)
  // From the first register on, or two addresses of IPv6 had no room. Where a packet's mark is kept is behind all of it.
  const [data, mark, spare] = [0, words.words + 2, 15]
  const remember = (operation: 'delete' | 'update'): Expressions[number] => ({
    name: 'dynset',
    set: affinity,
    operation,
    keyRegister: word(mark),
    dataRegister: word(data),
    timeoutMilliseconds: seconds * 1000,
  })
  return [
    ...isFamily(words),
    ...findService(words),
    // From one register to another, by way of the packet's mark, which is kept meanwhile.
    packetMark('destinationRegister', spare),
    packetMark('sourceRegister', markWord(words)),
    packetMark('destinationRegister', mark),
    packetMark('sourceRegister', spare),
    { name: 'immediate', destinationRegister: word(data), data: hostNumber(0) },
    loadDestination(words, data + 1),
    loadPort(mark - 2)[1]!,
    find(servers, data + 1, mark + 1),
    loadSource(words, mark + 1),
    remember('delete'),
    remember('update'),
  ]
}
