/** `viaduct nft monitor`: what anybody makes and takes away. */
import type {
  Elements,
  KindName,
  Nftables,
  NftablesEvent,
  NftSet,
  PrintOptions,
  Rule,
} from '../../nftables/index.js'
import { type Invocation, usage, using } from '../command.js'
import { follow } from '../follow.js'
import { lost, open } from './client.js'
import { Interfaces } from './interfaces.js'
import { KnownSets } from './known.js'
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
    const vocabulary = new Vocabulary(nftables, new Interfaces(invocation.netns))
    await follow(invocation, {
      events: (signal) => wanted(nftables.monitor({ signal }), isWanted, vocabulary),
      textOf: (event) => textOf(event, vocabulary.options),
      lost: `${lost}: list the ruleset anew`,
    })
  })
}

async function* wanted(
  events: AsyncIterable<NftablesEvent>,
  isWanted: (event: NftablesEvent) => boolean,
  vocabulary: Vocabulary,
): AsyncGenerator<NftablesEvent, void, undefined> {
  for await (const event of events) {
    await vocabulary.learn(event)
    if (isWanted(event)) yield event
    vocabulary.forget(event)
  }
}

/** What earlier events have told of, which the text of later ones needs. */
class Vocabulary {
  readonly #sets: KnownSets
  readonly #interfaces: Interfaces
  options: PrintOptions = {}

  constructor(nftables: Nftables, interfaces: Interfaces) {
    this.#sets = new KnownSets(nftables)
    this.#interfaces = interfaces
  }

  async learn(event: NftablesEvent): Promise<void> {
    if (event.event !== 'made' && event.event !== 'gone') return
    if (event.kind === 'set' && event.event === 'made') this.#sets.made(event.object as NftSet)
    else if (event.kind === 'elements') await this.#sets.filled(event.object as Elements)
    else if (event.kind === 'rule' && event.event === 'made') await this.#needed(event.object as Rule)
    this.options = { known: this.#sets.known, interfaceName: await this.#interfaces.all() }
  }

  forget(event: NftablesEvent): void {
    if (event.event === 'gone' && event.kind === 'set') this.#sets.gone(event.object as NftSet)
  }

  async #needed(rule: Rule): Promise<void> {
    for (const { set } of (rule.expressions ?? []) as readonly { readonly set?: string }[]) {
      if (set !== undefined) await this.#sets.need({ family: rule.family, table: rule.table }, set)
    }
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
