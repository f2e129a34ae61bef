/** `viaduct nft monitor`: what anybody makes and takes away. */
import type { KindName, Nftables, NftablesEvent, PrintOptions } from '../../nftables/index.js'
import { type Invocation, usage, using } from '../command.js'
import { follow } from '../follow.js'
import { lost, open } from './client.js'
import { Interfaces } from './interfaces.js'
import { KnownSets } from './known.js'
import { Ranges } from './ranges.js'
import { changeText } from './text.js'

const events: Readonly<Record<string, 'made' | 'gone'>> = { new: 'made', destroy: 'gone' }
const kinds: Readonly<Record<string, KindName | 'all'>> = {
  ruleset: 'all',
  tables: 'table',
  chains: 'chain',
  rules: 'rule',
  sets: 'set',
  elements: 'elements',
  objects: 'object',
  flowtables: 'flowtable',
}

export async function monitor(invocation: Invocation): Promise<void> {
  const isWanted = wantedOf(invocation.words)
  await using(open(invocation), async (nftables) => {
    const wording = new Wording(nftables, new Interfaces(invocation.netns))
    await follow(invocation, {
      events: (signal) =>
        wanted(nftables.monitor({ signal }), isWanted, invocation.isJson ? undefined : wording),
      textOf: (event) => wording.textOf(event),
      lost: `${lost}: list the ruleset anew`,
    })
  })
}

/** All events are looked at, for the text of those that are wanted may need what others tell. */
async function* wanted(
  events: AsyncIterable<NftablesEvent>,
  isWanted: (event: NftablesEvent) => boolean,
  wording: Wording | undefined,
): AsyncGenerator<NftablesEvent, void, undefined> {
  for await (const event of events) {
    const told = wording === undefined ? [event] : await wording.begin(event)
    for (const one of told) if (isWanted(one)) yield one
    wording?.end(event)
  }
}

/** Events in words, one after the other. */
class Wording {
  readonly #sets: KnownSets
  readonly #interfaces: Interfaces
  readonly #ranges = new Ranges()

  constructor(nftables: Nftables, interfaces: Interfaces) {
    this.#sets = new KnownSets(nftables)
    this.#interfaces = interfaces
  }

  /** What is to be told now. */
  async begin(event: NftablesEvent): Promise<NftablesEvent[]> {
    await this.#sets.learn(event)
    const isOfElements = (event.event === 'made' || event.event === 'gone') && event.kind === 'elements'
    const flags = isOfElements ? (this.#sets.about(event).sets[0]?.flags ?? []) : []
    return this.#ranges.put(event, flags.includes('interval') && !flags.includes('concatenation'))
  }

  end(event: NftablesEvent): void {
    this.#sets.forget(event)
  }

  textOf(event: Exclude<NftablesEvent, { event: 'resynchronise' }>): Promise<string> {
    const known = this.#sets.about(event)
    return this.#interfaces.naming((interfaceName) => textOf(event, { known, interfaceName }))
  }
}

/** `[new|destroy] [tables|chains|…]`; everything if nothing is said. A generation is told with everything only. */
export function wantedOf(words: readonly string[]): (event: NftablesEvent) => boolean {
  const rest = [...words]
  const event = Object.hasOwn(events, rest[0] ?? '') ? events[rest.shift()!] : undefined
  const word = rest.shift() ?? 'ruleset'
  const kind = Object.hasOwn(kinds, word) ? kinds[word] : undefined
  if (kind === undefined || rest.length > 0) {
    throw usage(
      `monitor: expected [${Object.keys(events).join('|')}] [${Object.keys(kinds).join('|')}], got ${words.join(' ')}`,
    )
  }
  return (given) => {
    if (given.event === 'resynchronise') return true
    if (given.event === 'generation') return event === undefined && kind === 'all'
    return (event ?? given.event) === given.event && (kind === 'all' || kind === given.kind)
  }
}

function textOf(event: Exclude<NftablesEvent, { event: 'resynchronise' }>, options: PrintOptions): string {
  if (event.event === 'generation') {
    const { id, processId, processName } = event
    const by = processId === undefined ? '' : ` by process ${processId} (${processName ?? '?'})`
    return `# new generation ${id}${by}`
  }
  return changeText(event.event === 'made' ? 'add' : 'delete', event.kind, event.object, options)
}
