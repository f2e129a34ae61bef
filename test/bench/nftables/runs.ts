/**
 * All competitors, in turns, in namespaces of the running kernel. What each has loaded is read back and compared: a
 * figure for another ruleset, or for less of it, would be void.
 */
import { createHash } from 'node:crypto'
import { Conntrack } from '../../../src/conntrack/index.js'
import {
  type Element,
  type Elements,
  Nftables,
  type Ruleset,
  type Verdict,
} from '../../../src/nftables/index.js'
import { type LoopDelay } from '../measure.js'
import { inNamespace } from '../namespaces.js'
import type { Place } from '../processes.js'
import type { WorkerAnswer } from '../serve.js'
import { coldCommand, peer, PeerExchange, program, python, type Ran, timesOf, Worker } from './peer.js'
import { recorder } from './record.js'
import {
  addFrame,
  addObjects,
  addReplacement,
  died,
  flowsOf,
  type Layout,
  objectsOf,
  replacedElements,
  type Size,
  writeScript,
} from './ruleset.js'
import type { Case, Task } from './worker.js'

export interface Settings extends Size {
  readonly runs: number
  /** The compiled C program. */
  readonly peer: string
  /** The compiled Go program. */
  readonly go: string
  readonly folder: string
}

/** Who does it: the kernel's share, ours in a process that has done it before, and programs from start to end. */
export const who = ['C', 'warm', 'cold', 'nft', 'conntrack', 'go', 'python'] as const
export type Who = (typeof who)[number]
export const whats = [
  'load verdicts',
  'load rules',
  'read verdicts',
  'read rules',
  'list flows',
  'delete flows',
] as const
export type What = (typeof whats)[number]
export const replacements = ['replace data', 'replace verdicts'] as const
export type Replacement = (typeof replacements)[number]

/** One number for each run. */
export interface Figures {
  /** Seconds. */
  readonly times: Readonly<Record<What, Readonly<Partial<Record<Who, readonly number[]>>>>>
  /** The most memory, in megabytes. */
  readonly memory: Readonly<Record<What, Readonly<Partial<Record<Who, readonly number[]>>>>>
  /** Microseconds of single requests: a list for each run. */
  readonly singles: Readonly<
    Record<Replacement, Readonly<Partial<Record<Who, readonly (readonly number[])[]>>>>
  >
  readonly loop: Readonly<Record<string, readonly LoopDelay[]>>
}

type Lists<T> = Record<string, Partial<Record<Who, T[]>>>
const times: Lists<number> = Object.fromEntries(whats.map((what) => [what, {}]))
const memory: Lists<number> = Object.fromEntries(whats.map((what) => [what, {}]))
const singles: Lists<readonly number[]> = Object.fromEntries(replacements.map((what) => [what, {}]))
const loop: Record<string, LoopDelay[]> = {}

function add<T>(lists: Lists<T>, what: string, by: Who, value: T): void {
  ;(lists[what]![by] ??= []).push(value)
}

function addRun(what: What, by: Who, { seconds, megabytes }: Ran): void {
  add(times, what, by, seconds)
  add(memory, what, by, megabytes)
}

function addHold(name: string, answer: WorkerAnswer): void {
  ;(loop[name] ??= []).push(answer.loop!)
}

const microseconds = (nanoseconds: readonly number[]): number[] => nanoseconds.map((each) => each / 1000)

/** What our runs send, and what nft reads. */
function filesOf(folder: string) {
  return {
    'load verdicts': `${folder}/load-verdicts`,
    'load data': `${folder}/load-data`,
    'load rules': `${folder}/load-rules`,
    'read verdicts': `${folder}/read-verdicts`,
    'read rules': `${folder}/read-rules`,
    'replace data': `${folder}/replace-data`,
    'replace verdicts': `${folder}/replace-verdicts`,
    'list flows': `${folder}/list-flows`,
    died: `${folder}/died`,
    'script verdicts': `${folder}/verdicts.nft`,
    'script rules': `${folder}/rules.nft`,
    output: `${folder}/output`,
  } as const
}
type Files = ReturnType<typeof filesOf>

/** Writes files of what is sent; returns what the rulesets are that come of it. */
async function record(size: Size, files: Files): Promise<Record<Layout, string>> {
  writeScript(files['script verdicts'], 'verdicts', size)
  writeScript(files['script rules'], 'rules', size)
  const digests: Partial<Record<Layout, string>> = {}
  for (const layout of ['verdicts', 'data', 'rules'] as const) {
    digests[layout] = await inNamespace(async (netns) => {
      const transport = recorder(netns)
      await using nftables = await Nftables.open({ transport })
      const load = nftables.transaction()
      addFrame(load, layout)
      addObjects(load, layout, objectsOf(layout, size))
      transport.begin(files[`load ${layout}`])
      await load.commit()
      transport.end()
      // A set that has just grown may be read twice: what is recorded is the reading of one that has settled.
      const ruleset = await nftables.ruleset()
      if (layout !== 'data') {
        transport.begin(files[`read ${layout}`])
        await nftables.ruleset()
        transport.end()
      }
      if (layout !== 'rules') {
        transport.begin(files[`replace ${layout}`])
        // Each value is another one than before, and the last round ends with those of the one before the first.
        for (let step = 0; step < replacedElements * 2; step++) {
          const change = nftables.transaction()
          addReplacement(change, layout, step, size)
          await change.commit()
        }
        transport.end()
      }
      return digestOf(ruleset)
    })
  }
  await inNamespace(async (netns) => {
    const transport = recorder(netns)
    await using conntrack = await Conntrack.open({ transport })
    transport.begin(files['list flows'])
    await conntrack.list()
    transport.end()
    transport.begin(files.died)
    await conntrack.list(died)
    transport.end()
  })
  return digests as Record<Layout, string>
}

/** Elements in the order of their keys, and rules in theirs; without what differs from load to load. */
function digestOf({ rules, elements }: Ruleset): string {
  const hash = createHash('sha256')
  const line = ({ key, data }: Element): string => {
    const { code, chain } = data as Verdict
    const value = data instanceof Uint8Array ? hex(data) : `${code} ${chain}`
    return `${hex(key!)} ${value}\n`
  }
  const lines = elements.flatMap(({ elements }: Elements) => elements.map(line))
  for (const each of lines.sort()) hash.update(each)
  for (const { chain, expressions } of rules) {
    hash.update(
      `${chain} ${JSON.stringify(expressions, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value))}\n`,
    )
  }
  return `${lines.length} elements, ${rules.length} rules, ${hash.digest('hex')}`
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

async function check(netns: Place, by: string, expected: string): Promise<void> {
  await using nftables = await Nftables.open({ netns })
  const digest = digestOf(await nftables.ruleset())
  if (digest !== expected) throw new Error(`void: ${by} has loaded ${digest} and not ${expected}`)
}

type Workers = Readonly<Record<Case, Worker>>
const cases: readonly Case[] = [
  'load verdicts',
  'load rules',
  'read verdicts',
  'read rules',
  'replace data',
  'replace verdicts',
  'create flows',
  'list flows',
  'delete flows',
  'idle',
]

/** How long it holds the event loop, and then how long it takes. */
async function ours(what: What, worker: Worker, task: Task): Promise<void> {
  addHold(what, await worker.ask({ ...task, watch: true }))
  add(times, what, 'warm', (await worker.ask(task)).seconds!)
}

async function replay(settings: Settings, netns: Place, what: What, file: string): Promise<void> {
  add(times, what, 'C', (await peer(netns, [settings.peer, 'replay', file])).nanoseconds / 1e9)
}

async function loads(
  settings: Settings,
  files: Files,
  workers: Workers,
  layout: 'verdicts' | 'rules',
  digest: string,
): Promise<void> {
  const what = `load ${layout}` as const
  const count = String(layout === 'rules' ? settings.rules : settings.elements)
  const loaded = (by: string, load: (netns: Place) => Promise<void>): Promise<void> =>
    inNamespace(async (netns) => {
      await load(netns)
      await check(netns, by, digest)
    })
  const start = (by: Who, command: (netns: Place) => readonly string[]): Promise<void> =>
    loaded(by, async (netns) => addRun(what, by, await program(settings.peer, netns, command(netns))))

  await loaded('C', (netns) => replay(settings, netns, what, files[what]))
  await loaded('warm', async (netns) => addHold(what, await workers[what].ask({ netns, watch: true })))
  await loaded('warm', async (netns) =>
    add(times, what, 'warm', (await workers[what].ask({ netns })).seconds!),
  )
  await start('nft', () => ['nft', '-f', files[`script ${layout}`]])
  await start('go', () => [settings.go, 'load', layout, count])
  await loaded('python', async (netns) => {
    await frame(netns, layout)
    addRun(what, 'python', await program(settings.peer, netns, [...python, 'load', layout, count]))
  })
  await start('cold', (netns) => coldCommand(netns, settings, 'load', layout))
}

/** What pyroute2 loads into. */
async function frame(netns: Place, layout: Layout): Promise<void> {
  await using nftables = await Nftables.open({ netns })
  const transaction = nftables.transaction()
  addFrame(transaction, layout)
  await transaction.commit()
}

async function reads(
  settings: Settings,
  files: Files,
  workers: Workers,
  layout: 'verdicts' | 'rules',
  digest: string,
): Promise<void> {
  const what = `read ${layout}` as const
  const count = String(layout === 'rules' ? settings.rules : settings.elements)
  await inNamespace(async (netns) => {
    const start = async (by: Who, command: readonly string[]): Promise<void> =>
      addRun(what, by, await program(settings.peer, netns, command))
    await peer(netns, [settings.peer, 'replay', files[`load ${layout}`]])
    await check(netns, 'C', digest)
    await replay(settings, netns, what, files[what])
    await ours(what, workers[what], { netns })
    await start('nft', ['nft', '-j', 'list', 'ruleset'])
    await start('go', [settings.go, 'read', layout, count])
    await start('python', [...python, 'read', layout, count])
    await start('cold', coldCommand(netns, settings, 'read', layout))
  })
}

/** In turns: so many at a time, so many times. */
async function replaces(
  settings: Settings,
  files: Files,
  workers: Workers,
  layout: 'verdicts' | 'data',
  [each, rounds]: readonly [number, number],
): Promise<void> {
  const what = `replace ${layout}` as const
  const { elements } = settings
  await inNamespace(async (netns) => {
    await peer(netns, [settings.peer, 'replay', files[`load ${layout}`]])
    addHold(what, await workers[what].ask({ netns, count: each * rounds, watch: true }))
    const child = new PeerExchange(settings.peer, files[what], netns)
    const theirs: number[] = []
    const our: number[] = []
    try {
      for (let round = 0; round < rounds; round++) {
        theirs.push(...microseconds(await child.exchange(each)))
        our.push(...microseconds((await workers[what].ask({ netns, count: each })).nanoseconds!))
      }
    } finally {
      await child.close()
    }
    add(singles, what, 'C', theirs)
    add(singles, what, 'warm', our)
    for (const [by, command] of [
      ['go', [settings.go]],
      ['python', python],
    ] as const) {
      const words = [...command, 'replace', layout, String(elements), String(each * 2)]
      add(singles, what, by, microseconds(await timesOf(settings.peer, netns, words, files.output)))
    }
    await using nftables = await Nftables.open({ netns })
    const found = (await nftables.elements({ family: 'ip', table: 'bench', name: layout })).elements.length
    if (found !== elements) throw new Error(`void: ${found} elements after replacements`)
  })
}

async function flows(settings: Settings, files: Files, workers: Workers): Promise<void> {
  const { peer: peerProgram } = settings
  const several = [...flowsOf(settings, 'died')].length
  await inNamespace(async (netns) => {
    const create = async (which: 'all' | 'died'): Promise<void> => {
      await workers['create flows'].ask({ netns, which })
    }
    addHold('create flows', await workers['create flows'].ask({ netns, watch: true }))
    await replay(settings, netns, 'list flows', files['list flows'])
    await ours('list flows', workers['list flows'], { netns })
    addRun('list flows', 'conntrack', await program(peerProgram, netns, ['conntrack', '-L'], files.output))
    await isWhole(netns, settings.flows)
    addRun(
      'list flows',
      'python',
      await program(peerProgram, netns, [...python, 'flows', String(settings.flows)]),
    )

    const deleted = async (): Promise<void> => {
      await isWhole(netns, settings.flows - several)
      await create('died')
    }
    const answer = await peer(netns, [peerProgram, 'delete', files.died, '1024'])
    add(times, 'delete flows', 'C', answer.nanoseconds / 1e9)
    await deleted()
    addHold('delete flows', await workers['delete flows'].ask({ netns, watch: true }))
    await deleted()
    add(times, 'delete flows', 'warm', (await workers['delete flows'].ask({ netns })).seconds!)
    await deleted()
    const { source } = died.reply as { readonly source: string }
    const command = ['conntrack', '-D', '--reply-src', source]
    addRun('delete flows', 'conntrack', await program(peerProgram, netns, command))
    await deleted()
  })
}

async function isWhole(netns: Place, expected: number): Promise<void> {
  await using conntrack = await Conntrack.open({ netns })
  const count = await conntrack.count()
  if (count !== expected) throw new Error(`void: ${count} flows and not ${expected}`)
}

/** Each engine compiles what it will run; nothing of it counts. */
async function warmUp(files: Files, settings: Settings, workers: Workers): Promise<void> {
  for (const layout of ['verdicts', 'rules'] as const) {
    for (let round = 0; round < 3; round++) {
      await inNamespace((netns) => workers[`load ${layout}`].ask({ netns }))
    }
    await inNamespace(async (netns) => {
      await peer(netns, [settings.peer, 'replay', files[`load ${layout}`]])
      for (let round = 0; round < 3; round++) await workers[`read ${layout}`].ask({ netns })
    })
  }
  await inNamespace(async (netns) => {
    await workers['create flows'].ask({ netns })
    for (let round = 0; round < 3; round++) {
      await workers['list flows'].ask({ netns })
      await workers['delete flows'].ask({ netns })
      await workers['create flows'].ask({ netns, which: 'died' })
    }
  })
}

export async function measureAll(settings: Settings): Promise<Figures> {
  const files = filesOf(settings.folder)
  process.stderr.write('recording\n')
  const digests = await record(settings, files)
  const workers = Object.fromEntries(cases.map((name) => [name, new Worker(name, settings)])) as Record<
    Case,
    Worker
  >
  try {
    process.stderr.write('warming up\n')
    await warmUp(files, settings, workers)
    for (let each = 1; each <= settings.runs; each++) {
      process.stderr.write(`run ${each} of ${settings.runs}\n`)
      addHold('idle', await workers.idle.ask({ watch: true }))
      for (const layout of ['verdicts', 'rules'] as const) {
        await loads(settings, files, workers, layout, digests[layout])
        await reads(settings, files, workers, layout, digests[layout])
      }
      await replaces(settings, files, workers, 'data', [250, 20])
      await replaces(settings, files, workers, 'verdicts', [5, 10])
      await flows(settings, files, workers)
    }
  } finally {
    for (const name of cases) await workers[name].close()
  }
  return { times, memory, singles, loop } as unknown as Figures
}
