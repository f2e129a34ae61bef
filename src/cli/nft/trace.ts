/** `viaduct nft trace`: what befalls packets that a rule marks for it, with that rule. */
import {
  type Nftables,
  type NftablesTrace,
  printRule,
  type Rule,
  type TraceEvent,
} from '../../nftables/index.js'
import { verdictText } from '../../nftables/print/verdict.js'
import { type Invocation, usage, using } from '../command.js'
import { follow } from '../follow.js'
import { lost, open } from './client.js'
import { headersOf, headersText, type PacketHeaders } from './packet.js'
import { Interfaces } from './interfaces.js'
import { type Known, knownOf, unlessGone } from './known.js'

export async function trace(invocation: Invocation): Promise<void> {
  const { words, netns } = invocation
  if (words.length > 0) throw usage(`trace: expected nothing more, got ${words.join(' ')}`)
  await using(open(invocation), (nftables) =>
    follow(invocation, {
      events: (signal) => explained(nftables.trace({ signal }), new Rules(nftables), new Interfaces(netns)),
      textOf: traceText,
      lost: `${lost}: mark fewer packets`,
    }),
  )
}

async function* explained(
  events: AsyncIterable<NftablesTrace>,
  rules: Rules,
  interfaces: Interfaces,
): AsyncGenerator<Told | Exclude<NftablesTrace, TraceEvent>, void, undefined> {
  for await (const event of events) {
    if (event.event === 'resynchronise') yield event
    else {
      yield {
        ...event,
        packet: headersOf(event),
        incomingName: await interfaces.nameOf(event.incomingInterface),
        outgoingName: await interfaces.nameOf(event.outgoingInterface),
        ...(await rules.find(event, interfaces)),
      }
    }
  }
}

/** An event, and what it speaks of. */
export interface Told extends TraceEvent {
  readonly packet: PacketHeaders
  readonly incomingName: string | undefined
  readonly outgoingName: string | undefined
  /** Undefined also if it is gone already. */
  readonly rule?: Rule | undefined
  /** The rule in nft's syntax. */
  readonly ruleText?: string | undefined
}

/**
 * As `nft monitor trace` has it: the packet, if it is told, and what befell it, a line each. The end of a chain, which the
 * kernel tells as a rule without a handle, is none: what comes of it is told next.
 */
export function traceText(told: Told): string {
  const { id = 0, family, table = '', chain = '', type, incomingName, outgoingName, mark } = told
  const start = `trace id ${id.toString(16).padStart(8, '0')} ${family} ${table} ${chain}`
  const lines: string[] = []
  const packet = headersText(told.packet)
  if (packet !== '') {
    const via = [
      incomingName === undefined ? '' : `iif "${incomingName}" `,
      outgoingName === undefined ? '' : `oif "${outgoingName}" `,
    ]
    lines.push(`${start} packet: ${via.join('')}${packet}`)
  }
  // What became of the mark is told where a chain ends.
  const marked = mark === undefined || mark === 0 ? '' : ` meta mark 0x${mark.toString(16).padStart(8, '0')}`
  if (type === 'rule' && told.ruleHandle !== undefined)
    lines.push(`${start} rule ${ruleOf(told)} (verdict ${verdictText(told.verdict ?? {})})`)
  else if (type === 'policy') lines.push(`${start} policy ${told.policy === 0 ? 'drop' : 'accept'}${marked}`)
  else if (type === 'return') lines.push(`${start} verdict ${verdictText(told.verdict ?? {})}${marked}`)
  return lines.join('\n')
}

function ruleOf({ ruleText, ruleHandle }: Told): string {
  return ruleText === undefined ? `handle ${ruleHandle}, which is gone` : `${ruleText} # handle ${ruleHandle}`
}

/** Rules by what a trace calls them, read when they are spoken of and kept as long as nobody changes anything. */
class Rules {
  readonly #nftables: Nftables
  readonly #chains = new Map<string, ReadonlyMap<number, Rule>>()
  readonly #known = new Map<string, Known>()
  #generation: number | undefined

  constructor(nftables: Nftables) {
    this.#nftables = nftables
  }

  async find(
    { family, table, chain, ruleHandle }: TraceEvent,
    interfaces: Interfaces,
  ): Promise<Pick<Told, 'rule' | 'ruleText'>> {
    if (table === undefined || chain === undefined || ruleHandle === undefined) return {}
    // Handles begin anew in a table that was deleted and made again. Asking costs some microseconds.
    const generation = await this.#nftables.generation()
    if (generation !== this.#generation) {
      this.#chains.clear()
      this.#known.clear()
    }
    this.#generation = generation
    const key = `${family} ${table} ${chain}`
    let rules = this.#chains.get(key)
    if (rules === undefined) {
      const found = await unlessGone(this.#nftables.rules({ family, table, chain }), [])
      rules = new Map(found.map((rule) => [rule.handle ?? 0, rule]))
      this.#chains.set(key, rules)
    }
    const rule = rules.get(ruleHandle)
    if (rule === undefined) return {}
    const known = this.#known.get(`${family} ${table}`) ?? (await knownOf(this.#nftables, { family, table }))
    this.#known.set(`${family} ${table}`, known)
    const ruleText = await interfaces.naming((interfaceName) => printRule(rule, { known, interfaceName }))
    return { rule, ruleText }
  }
}
