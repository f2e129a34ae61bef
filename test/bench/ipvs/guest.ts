/**
 * The part of the benchmark that needs IPVS: run where it is, as root. Every case has a fresh network namespace, and
 * the next begins when the kernel has let go of the one before.
 *
 *   node guest.js '{"runs":5,"services":10000,…}'
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { release } from 'node:os'
import { readProcTable } from '../../../src/ipvs/proc.js'
import { type LoopDelay, median, touchedPages } from '../measure.js'
import { inNamespace } from '../namespaces.js'
import type { Place } from '../processes.js'
import type { WorkerAnswer } from '../serve.js'
import { messagesOf } from './encode.js'
import { coldProcess, ipvsadm, peer, PeerExchange, Worker } from './peer.js'
import { changesOf, commandsOf, operationsOf, type Size, writeRules } from './table.js'
import type { Task } from './worker.js'

export interface GuestSettings extends Size {
  readonly runs: number
  /** The compiled C program. */
  readonly peer: string
  /** Where the guest may write. */
  readonly folder: string
  /** Leaves out `ipvsadm -R`, which takes minutes. */
  readonly withoutRestore: boolean
}

const figures = [
  'load C 256',
  'load C 2048',
  'load warm',
  'load cold process',
  'cold start',
  'cold import',
  'cold objects',
  'cold open',
  'cold apply',
  'load ipvsadm -R',
  'resident MB',
  'encode',
  'list C',
  'list',
  'bytes',
  '-Ln ipvsadm',
  'print',
  'proc',
  'change C µs',
  'change µs',
  'changes in a row µs',
  'touch µs',
] as const
export type Figure = (typeof figures)[number]
const watched = [
  'idle',
  'load warm',
  'load cold process',
  'encode',
  'list',
  'bytes',
  'print',
  'proc',
  'change',
  'first changes',
] as const
export type Watched = (typeof watched)[number]

export interface GuestResults {
  readonly kernel: string
  readonly commands: number
  /** Seconds unless the name says otherwise; one number for each run. */
  readonly figures: Readonly<Record<Figure, readonly number[]>>
  readonly loop: Readonly<Record<Watched, readonly LoopDelay[]>>
  /** Pages touched for the first time. */
  readonly faults: Readonly<Partial<Record<Figure, readonly number[]>>>
}

const found: Record<string, number[]> = Object.fromEntries(figures.map((name) => [name, []]))
const loop: Record<string, LoopDelay[]> = Object.fromEntries(watched.map((name) => [name, []]))
const faults: Record<string, number[]> = {}

function add(name: Figure, value: number): void {
  found[name]!.push(value)
}

function addTime(name: Figure, { seconds, faults: touched }: WorkerAnswer): void {
  add(name, seconds!)
  const known = (faults[name] ??= [])
  known.push(touched)
}

function addHold(name: Watched, answer: WorkerAnswer): void {
  loop[name]!.push(answer.loop!)
}

/** That the table is whole: a figure for less would be void. */
async function check(netns: Place, { services, destinationsEach }: Size): Promise<void> {
  const table = await readProcTable({ netns })
  const expected = services * destinationsEach
  if (table.services.count !== services || table.destinations.count !== expected) {
    throw new Error(`void: ${table.services.count} services and ${table.destinations.count} destinations`)
  }
}

interface Files {
  readonly messages: string
  readonly changes: string
  readonly rules: string
}
interface Workers {
  readonly load: Worker
  readonly list: Worker
  readonly bytes: Worker
  readonly print: Worker
  readonly proc: Worker
  readonly change: Worker
  readonly encode: Worker
  readonly touch: Worker
  readonly idle: Worker
}

/** Each engine compiles what it will run; nothing of it counts. */
async function warmUp(settings: GuestSettings, files: Files, workers: Workers): Promise<void> {
  for (let round = 0; round < 3; round++) {
    await inNamespace((netns) => workers.load.ask({ netns }))
    await workers.encode.ask({})
  }
  await inNamespace(async (netns) => {
    await peer(netns, [settings.peer, 'load', files.messages, '256'])
    for (const worker of [workers.list, workers.bytes, workers.print, workers.proc]) {
      for (let round = 0; round < 2; round++) await worker.ask({ netns })
    }
    addHold('first changes', await workers.change.ask({ netns, count: changesInARow, watch: true }))
  })
}

/**
 * How long it holds the event loop, and then how long it takes. In this order, for between two runs lie the minutes of
 * ipvsadm -R, in which the engine gives back the memory of what it did last: that would be timed, too.
 */
async function both(name: Figure & Watched, worker: Worker, task: Task): Promise<void> {
  addHold(name, await worker.ask({ ...task, watch: true }))
  addTime(name, await worker.ask(task))
}

async function oneRun(settings: GuestSettings, files: Files, workers: Workers): Promise<void> {
  await inNamespace(async (netns) => {
    const { nanoseconds } = await peer(netns, [settings.peer, 'load', files.messages, '256'])
    add('load C 256', nanoseconds / 1e9)
    await check(netns, settings)
  })
  // As `both`, in two namespaces.
  await inNamespace(async (netns) => {
    addHold('load warm', await workers.load.ask({ netns, watch: true }))
    await check(netns, settings)
  })
  await inNamespace(async (netns) => {
    addTime('load warm', await workers.load.ask({ netns }))
    await check(netns, settings)
  })
  await inNamespace(async (netns) => {
    loop['load cold process']!.push((await coldProcess(netns, settings, 'watch')).loop!)
    await check(netns, settings)
  })
  await inNamespace(async (netns) => {
    const cold = await coldProcess(netns, settings, 'time')
    add('load cold process', cold.seconds)
    for (const [step, milliseconds] of Object.entries(cold.milliseconds)) {
      add(`cold ${step as keyof typeof cold.milliseconds}`, milliseconds / 1000)
    }
    faults['cold apply'] = [...(faults['cold apply'] ?? []), cold.faults]
    add('resident MB', cold.residentMegabytes)
    await check(netns, settings)
  })
  await both('encode', workers.encode, {})
  addHold('idle', await workers.idle.ask({ watch: true }))
  add('touch µs', ((await workers.touch.ask({})).seconds! * 1e6) / touchedPages)
  await inNamespace(async (netns) => {
    const { nanoseconds } = await peer(netns, [settings.peer, 'load', files.messages, '2048'])
    add('load C 2048', nanoseconds / 1e9)
    await check(netns, settings)
    await readings(settings, netns, workers)
    await oneChange(settings, netns, files.changes, workers.change)
  })
  if (settings.withoutRestore) return
  await inNamespace(async (netns) => {
    add('load ipvsadm -R', await ipvsadm(netns, '-R', files.rules))
    await check(netns, settings)
  })
}

/** The full table, read each way once. */
async function readings(settings: GuestSettings, netns: Place, workers: Workers): Promise<void> {
  const { folder, services, destinationsEach } = settings
  const dumped = await peer(netns, [settings.peer, 'dump'])
  if (dumped.services !== services || dumped.destinations !== services * destinationsEach) {
    throw new Error(
      `void: the C program read ${dumped.services} services, ${dumped.destinations} destinations`,
    )
  }
  add('list C', dumped.nanoseconds / 1e9)
  await both('list', workers.list, { netns })
  await both('bytes', workers.bytes, { netns })

  const [theirs, ours] = [`${folder}/ipvsadm.txt`, `${folder}/viaduct.txt`]
  add('-Ln ipvsadm', await ipvsadm(netns, '-Ln', '/dev/null', theirs))
  await both('print', workers.print, { netns, output: ours })
  await both('proc', workers.proc, { netns })
  const same = readFileSync(theirs).equals(readFileSync(ours))
  for (const file of [theirs, ours]) rmSync(file)
  if (!same) throw new Error('void: -Ln prints another table than ipvsadm')
}

/** A single number of changes that a program may well make one after the other. */
const changesInARow = 5000

/** Many changes on the full table in a row; then one after the other in turns with the C program. */
async function oneChange(settings: GuestSettings, netns: Place, file: string, worker: Worker): Promise<void> {
  const rounds = 20
  const count = 250
  // First, for the engine has thrown away meanwhile what it had compiled for it.
  addHold('change', await worker.ask({ netns, count: changesInARow, watch: true }))
  const row = await worker.ask({ netns, count: changesInARow })
  add('changes in a row µs', (row.seconds! * 1e6) / changesInARow)
  const child = new PeerExchange(settings.peer, file, netns)
  const theirs: number[] = []
  const ours: number[] = []
  try {
    for (let round = 0; round < rounds; round++) {
      theirs.push((await child.exchange(count)) / 1000 / count)
      const { seconds } = await worker.ask({ netns, count })
      ours.push((seconds! * 1e6) / count)
    }
  } finally {
    await child.close()
  }
  add('change C µs', median(theirs))
  add('change µs', median(ours))
}

async function main(settings: GuestSettings): Promise<GuestResults> {
  const { folder } = settings
  const files: Files = {
    messages: `${folder}/messages`,
    changes: `${folder}/changes`,
    rules: `${folder}/rules`,
  }
  writeFileSync(files.messages, await messagesOf(operationsOf(settings)))
  writeFileSync(files.changes, await messagesOf(changesOf(settings)))
  writeRules(files.rules, settings)
  const names = ['load', 'list', 'bytes', 'print', 'proc', 'change', 'encode', 'touch', 'idle'] as const
  const workers = Object.fromEntries(
    names.map((name) => [name, new Worker(name, settings)]),
  ) as unknown as Workers
  try {
    process.stderr.write('warming up\n')
    await warmUp(settings, files, workers)
    for (let each = 1; each <= settings.runs; each++) {
      process.stderr.write(`run ${each} of ${settings.runs}\n`)
      await oneRun(settings, files, workers)
    }
  } finally {
    for (const name of names) await workers[name].close()
    for (const file of Object.values(files) as string[]) rmSync(file)
  }
  return {
    kernel: release(),
    commands: commandsOf(settings),
    figures: found as unknown as GuestResults['figures'],
    loop: loop as unknown as GuestResults['loop'],
    faults,
  }
}

const settings = JSON.parse(process.argv[2]!) as GuestSettings
writeFileSync(`${settings.folder}/results.json`, JSON.stringify(await main(settings)))
