/** `viaduct nft monitor`: what anybody makes and takes away. */
import type { KindName, NftablesEvent } from '../../nftables/index.js'
import { type Invocation, usage, using } from '../command.js'
import { follow } from '../follow.js'
import { lost, open } from './client.js'
import { goneText, objectText } from './text.js'

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
  await using(open(invocation), (nftables) =>
    follow(invocation, {
      events: (signal) => wanted(nftables.monitor({ signal }), isWanted),
      textOf,
      lost: `${lost}: list the ruleset anew`,
    }),
  )
}

async function* wanted(
  events: AsyncIterable<NftablesEvent>,
  isWanted: (event: NftablesEvent) => boolean,
): AsyncGenerator<NftablesEvent, void, undefined> {
  for await (const event of events) if (isWanted(event)) yield event
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

function textOf(event: Exclude<NftablesEvent, { event: 'resynchronise' }>): string {
  if (event.event === 'generation') {
    const { id, processId, processName } = event
    const by = processId === undefined ? '' : ` by process ${processId} (${processName ?? '?'})`
    return `# new generation ${id}${by}`
  }
  return event.event === 'made'
    ? `add ${objectText(event.kind, event.object)}`
    : `delete ${goneText(event.kind, event.object)}`
}
