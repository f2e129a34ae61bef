/** Runs situations: makes their networks, has them programmed, sends their packets, and tells what came of each. */
import type { Netns } from '../../src/net/index.js'
import { describeSighting, Network } from './network.js'
import { planNetwork, triesForEach } from './plan.js'
import type { Expected, Packet, Situation, SituationNode } from './situation.js'
import { wrongAnswer, wrongPassage, wrongRefusal, wrongSilence } from './verdict.js'

/** What keeps services on a node: a dataplane, with whatever makes its input from Kubernetes' objects. */
export interface Programming {
  /**
   * Makes the node as the situation says; a second one is a change of what is there.
   *
   * @returns why a packet's service cannot work, for those that could not be programmed
   */
  program(situation: Situation): Promise<(packet: Packet) => string | undefined>
  close(): Promise<void>
}

/** Opens one for a node. */
export type OpenProgramming = (netns: Netns, node: SituationNode) => Promise<Programming>

/** What came of a packet. */
export interface Report {
  readonly situation: string
  readonly packet: string
  /** What was seen, if it was wrong. */
  readonly wrong: string | undefined
}

/** How long is waited, in milliseconds. */
export interface Patience {
  /** For an answer that must come. */
  readonly answer: number
  /** For one that must not. */
  readonly silence: number
  /** Within it a client must be told that it is refused. */
  readonly refusal: number
}

export const usualPatience: Patience = { answer: 3000, silence: 2000, refusal: 200 }
/** In an emulated kernel, where machine code runs 10 times slower, and JavaScript 30 times. */
export const emulatedPatience: Patience = { answer: 20_000, silence: 4000, refusal: 4000 }

export interface RunOptions {
  readonly patience?: Patience | undefined
  /** Groups of situations that run beside each other, so that their silences overlap. */
  readonly atOnce?: number | undefined
  /** Called for each packet, situation by situation in the order of the file. */
  readonly report: (report: Report) => void
}

export async function runSituations(
  groups: readonly (readonly Situation[])[],
  open: OpenProgramming,
  { patience = usualPatience, atOnce = 4, report }: RunOptions,
): Promise<void> {
  const results = new Map<number, Report[]>()
  let told = 0
  await inParallel(atOnce, [...groups.entries()], async ([index, group]) => {
    results.set(index, await runGroup(group, open, patience))
    for (let next = results.get(told); next !== undefined; next = results.get(++told)) next.forEach(report)
  })
}

/** The steps of a situation, one after the other on the same node. */
async function runGroup(
  group: readonly Situation[],
  open: OpenProgramming,
  patience: Patience,
): Promise<Report[]> {
  const reports: Report[] = []
  const tell = ({ name }: Situation, packet: Packet, wrong: string | undefined): void => {
    reports.push({ situation: name, packet: packet.name, wrong })
  }
  let network: Network | undefined
  let programming: Programming | undefined
  try {
    const { node } = group[0]!
    const plan = planNetwork(group)
    network = await Network.make(plan)
    programming = await open(network.node.netns, { ...node, addresses: plan.nodeAddresses })
    for (const situation of group) {
      network.forget()
      const troubleOf = await programming.program(situation)
      const verdicts = await runStep(network, situation.packets, patience)
      for (const packet of situation.packets)
        tell(situation, packet, troubleOf(packet) ?? verdicts.get(packet))
    }
  } catch (error) {
    const why = error instanceof Error ? (error.stack ?? error.message) : String(error)
    const rest = group.flatMap((situation) => situation.packets.map((packet) => [situation, packet] as const))
    for (const [situation, packet] of rest.slice(reports.length)) tell(situation, packet, why)
  } finally {
    await programming?.close()
    await network?.close()
  }
  return reports
}

/** What is wrong with each packet, if anything. */
async function runStep(
  network: Network,
  packets: readonly Packet[],
  patience: Patience,
): Promise<Map<Packet, string | undefined>> {
  const verdicts = new Map<Packet, string | undefined>()
  const of = (...outcomes: Expected['outcome'][]): Packet[] =>
    packets.filter(({ expected }) => outcomes.includes(expected.outcome))
  const judge = async (packet: Packet): Promise<void> => {
    verdicts.set(packet, await test(network, packet, patience))
  }
  // Refusals are timed: nothing else goes on meanwhile but waiting.
  const silences = Promise.all(of('drop').map(judge))
  for (const packet of of('reject')) await judge(packet)
  // One after the other: a scheduler that takes turns would give each of two who ask in step the same server for ever.
  for (const packet of of('endpoints', 'none')) await judge(packet)
  await silences
  // What has arrived is told in the next turns of the event loop.
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
  const unexplained = network.unexplained()
  for (const [packet, wrong] of verdicts) {
    const isSecret = packet.expected.outcome === 'drop' || packet.expected.outcome === 'reject'
    if (wrong === undefined && !isSecret) continue
    const seen = [...new Set(unexplained(packet).map(describeSighting))].slice(0, 3)
    if (seen.length > 0) verdicts.set(packet, [...(wrong === undefined ? [] : [wrong]), ...seen].join('; '))
  }
  return verdicts
}

function test(network: Network, packet: Packet, patience: Patience): Promise<string | undefined> {
  const { expected } = packet
  switch (expected.outcome) {
    case 'endpoints':
      return testEndpoints(network, packet, expected, patience)
    case 'reject':
      return testRefusal(network, packet, patience)
    case 'drop':
      return testSilence(network, packet, patience)
    case 'none':
      return testPassage(network, packet, patience)
  }
}

/** So often at least; more often where there is one who must not be reached, that he has the chance to be. */
const leastTries = { alone: 5, amongOthers: 10 }
/** So often where every try must end the same way. */
const sameTries = 3

async function testEndpoints(
  network: Network,
  packet: Packet,
  expected: Expected & { readonly outcome: 'endpoints' },
  patience: Patience,
): Promise<string | undefined> {
  const reached = new Set<string>()
  const sources = network.sourcesOf(packet)
  const staysOf = new Map<string, string>()
  const isSticky = network.hasAffinity(packet)
  const most = triesForEach * expected.endpoints.length
  const least = network.hasOthers(packet) ? leastTries.amongOthers : leastTries.alone
  for (let tried = 0; tried < most; tried++) {
    if (tried >= least && reached.size === expected.endpoints.length) return undefined
    const from = sources[tried % sources.length]!
    // Where a client stays with its server it comes twice, to see that it does.
    for (let visit = 0; visit < (isSticky ? 2 : 1); visit++) {
      const attempt = await network.try(packet, from, patience.answer)
      const wrong = wrongAnswer(attempt, expected, network)
      if (wrong !== undefined) return tried === 0 ? wrong : `${wrong} (try ${tried + 1})`
      if (attempt.outcome.result !== 'answered') continue
      const { at } = attempt.outcome
      const stays = staysOf.get(from) ?? at
      if (isSticky && stays !== at) return `${from} reached ${stays} first, and then ${at}: no affinity`
      staysOf.set(from, stays)
      reached.add(at)
    }
  }
  const missed = expected.endpoints.filter((endpoint) => !reached.has(endpoint))
  return missed.length === 0 ? undefined : `in ${most} tries ${missed.join(', ')} was never reached`
}

async function testRefusal(
  network: Network,
  packet: Packet,
  patience: Patience,
): Promise<string | undefined> {
  let quickest = Infinity
  for (let tried = 0; tried < sameTries; tried++) {
    const attempt = await network.try(packet, packet.from, patience.refusal * 5)
    const wrong = wrongRefusal(attempt)
    if (wrong !== undefined) return wrong
    if (attempt.outcome.result === 'refused') quickest = Math.min(quickest, attempt.outcome.milliseconds)
  }
  return quickest <= patience.refusal ? undefined : `it was refused after ${Math.round(quickest)} ms`
}

async function testSilence(
  network: Network,
  packet: Packet,
  patience: Patience,
): Promise<string | undefined> {
  const tries = Array.from({ length: sameTries }, () => network.try(packet, packet.from, patience.silence))
  return (await Promise.all(tries)).map(wrongSilence).find((wrong) => wrong !== undefined)
}

async function testPassage(
  network: Network,
  packet: Packet,
  patience: Patience,
): Promise<string | undefined> {
  for (let tried = 0; tried < sameTries; tried++) {
    const wrong = wrongPassage(await network.try(packet, packet.from, patience.answer))
    if (wrong !== undefined) return wrong
  }
  return undefined
}

async function inParallel<T>(
  most: number,
  items: readonly T[],
  work: (item: T) => Promise<void>,
): Promise<void> {
  const queue = [...items]
  const worker = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item)
  }
  await Promise.all(Array.from({ length: most }, worker))
}
