/** `viaduct conntrack …`: looks at flows, ends them, and tells what befalls them. */
import { Conntrack, type EventKind } from '../../conntrack/index.js'
import { toJson } from '../../json.js'
import {
  type Commands,
  type Invocation,
  runCommand,
  type RunOptions,
  type Subcommand,
  usage,
  using,
} from '../command.js'
import { exitFailed, exitRefused } from '../exit.js'
import { follow } from '../follow.js'
import { Lines, type Streams, write } from '../streams.js'
import { all, filterOf, filterRows, watchOptions } from './options.js'
import { eventText, flowText } from './text.js'

const program = 'viaduct conntrack'

const subcommands: Readonly<Record<string, Subcommand>> = {
  list: { options: filterRows, exitCode: exitFailed, run: list },
  count: { options: filterRows, exitCode: exitFailed, run: count },
  delete: { options: [...filterRows, all], exitCode: exitRefused, run: remove },
  watch: { options: [...filterRows, ...watchOptions], exitCode: exitFailed, run: watch },
}

export const commands: Commands = {
  program,
  subcommands,
  help: async () => (await import('./help.js')).help(program),
}

/** Does what the words behind the command's own name say, and resolves to the exit code. */
export function run(argv: readonly string[], streams: Streams, options: RunOptions = {}): Promise<number> {
  return runCommand(commands, argv, streams, options)
}

async function list(invocation: Invocation): Promise<void> {
  const { streams, isJson } = invocation
  const filter = filterOf(onlyOptions(invocation))
  await using(open(invocation), async (conntrack) => {
    const lines = new Lines(streams.stdout)
    const now = Date.now()
    let shown = 0
    for await (const flow of conntrack.stream(filter)) {
      await lines.add(isJson ? toJson(flow) : flowText(flow, now))
      shown++
    }
    await lines.flush()
    if (!isJson) await write(streams.stderr, `${program}: ${shown} flow entries have been shown.\n`)
  })
}

async function count(invocation: Invocation): Promise<void> {
  const filter = filterOf(onlyOptions(invocation))
  await using(open(invocation), async (conntrack) => {
    const number = await conntrack.count(filter)
    await print(invocation, `${number}`, { count: number })
  })
}

async function remove(invocation: Invocation): Promise<void> {
  const options = onlyOptions(invocation)
  const filter = filterOf(options)
  if (filter === undefined && !options.has('all')) {
    throw usage('which flows? Give a filter (--reply-src ADDRESS, …), or --all for every one')
  }
  if (filter !== undefined && options.has('all')) throw usage('--all is every flow: leave out the filter')
  await using(open(invocation), async (conntrack) => {
    const deleted = await conntrack.deleteMatching(filter ?? {})
    await print(invocation, `${deleted} flow entries have been deleted.`, { deleted })
  })
}

async function watch(invocation: Invocation): Promise<void> {
  const options = onlyOptions(invocation)
  const filter = filterOf(options)
  const kinds = kindsOf(options.get('event'))
  const receiveBufferBytes = bytesOf(options.get('buffer-size'))
  await using(open(invocation, receiveBufferBytes), (conntrack) =>
    follow(invocation, {
      events: (signal) => conntrack.events({ kinds, filter, signal }),
      textOf: (event) => eventText(event, Date.now()),
      lost: `${program}: events were lost, and it goes on: list the flows anew; a larger --buffer-size loses fewer`,
    }),
  )
}

const allKinds = ['new', 'update', 'destroy'] as const

/** conntrack(8) says UPDATES. */
function kindsOf(text: string | undefined): readonly EventKind[] {
  if (text === undefined) return allKinds
  return text.split(',').map((word) => {
    const kind = word.toLowerCase().replace(/^updates$/, 'update') as EventKind
    if (!allKinds.includes(kind)) throw usage(`--event: expected some of ${allKinds.join(', ')}, got ${word}`)
    return kind
  })
}

function bytesOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const bytes = /^\d+$/.test(text) ? Number(text) : 0
  if (bytes < 1 || bytes > 0x7fff_ffff) throw usage(`--buffer-size: expected bytes, got ${text}`)
  return bytes
}

function onlyOptions({ options, words }: Invocation): ReadonlyMap<string, string> {
  if (words.length > 0) throw usage(`${words[0]!} is no option: filters begin with hyphens (--src ADDRESS)`)
  return options
}

function open({ netns, transport }: RunOptions, receiveBufferBytes?: number): () => Promise<Conntrack> {
  return () => Conntrack.open({ netns, transport, receiveBufferBytes })
}

function print({ streams, isJson }: Invocation, text: string, object: object): Promise<void> {
  return write(streams.stdout, `${isJson ? toJson(object) : text}\n`)
}
