/**
 * The part of the benchmark that needs IPVS: run where it is, as root. Every case has a fresh network namespace, and
 * the next begins when the kernel has let go of the one before.
 *
 *   node guest.js '{"runs":5,"services":10000,…}'
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { release } from 'node:os'
import { NetworkNamespace } from '../../../src/net/index.js'
import { readProcTable } from '../../../src/ipvs/proc.js'
import { Rtnetlink } from '../../../src/rtnetlink/index.js'
import { type LoopDelay, median, touchedPages, worst } from './measure.js'
import { ipvsadm, peer, PeerExchange, Worker } from './peer.js'
import { changesOf, commandsOf, messagesOf, operationsOf, type Size, writeRules } from './table.js'
import type { WorkerAnswer } from './worker.js'

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
  'load cold',
  'load cold process',
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
  'touch µs',
] as const
export type Figure = (typeof figures)[number]
const watched = ['idle', 'load warm', 'load cold', 'list', 'print', 'change'] as const
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

function addAnswer(name: Figure, answer: WorkerAnswer): void {
  add(name, answer.seconds)
  loop[name]?.push(answer.loop)
  const known = (faults[name] ??= [])
  known.push(answer.faults)
}

let made = 0

/** A fresh namespace with lo up, for one case; gone, and let go of by the kernel, when the case is through. */
async function inNamespace<T>(work: (name: string) => Promise<T>): Promise<T> {
  const name = `bench-${process.pid}-${++made}`
  const sentinel = `bench${made}`
  const netns = NetworkNamespace.createNamed(name)
  try {
    const inside = await Rtnetlink.open({ netns })
    await inside.links.set('lo', { up: true })
    inside.close()
    await using here = await Rtnetlink.open()
    await here.links.add({ kind: 'veth', name: sentinel, data: { peer: { name: 'other', netns } } })
    try {
      return await work(name)
    } finally {
      netns.close()
      NetworkNamespace.delete(name)
      // Links go after IPVS does (the reverse of the order in which both were registered, net/core/net_namespace.c).
      while ((await here.links.find(sentinel)) !== undefined) {
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    }
  } finally {
    netns.close()
  }
}

/** That the table is whole: a figure for less would be void. */
async function check(netns: string, { services, destinationsEach }: Size): Promise<void> {
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
    await workers.encode.ask({ netns: '' })
  }
  await inNamespace(async (netns) => {
    await peer(netns, [settings.peer, 'load', files.messages, '256'])
    for (const worker of [workers.list, workers.bytes, workers.print, workers.proc]) {
      for (let round = 0; round < 2; round++) await worker.ask({ netns })
    }
    await workers.change.ask({ netns, count: 2000 })
  })
}

async function oneRun(settings: GuestSettings, files: Files, workers: Workers): Promise<void> {
  await inNamespace(async (netns) => {
    const { nanoseconds } = await peer(netns, [settings.peer, 'load', files.messages, '256'])
    add('load C 256', nanoseconds / 1e9)
    await check(netns, settings)
  })
  await inNamespace(async (netns) => {
    addAnswer('load warm', await workers.load.ask({ netns }))
    await check(netns, settings)
  })
  await inNamespace(async (netns) => {
    const start = performance.now()
    const cold = new Worker('load', settings)
    const answer = await cold.ask({ netns })
    await cold.close()
    add('load cold process', (performance.now() - start) / 1000)
    addAnswer('load cold', answer)
    add('resident MB', answer.residentMegabytes)
    await check(netns, settings)
  })
  addAnswer('encode', await workers.encode.ask({ netns: '' }))
  loop['idle']!.push((await workers.idle.ask({ netns: '' })).loop)
  add('touch µs', ((await workers.touch.ask({ netns: '' })).seconds * 1e6) / touchedPages)
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
async function readings(settings: GuestSettings, netns: string, workers: Workers): Promise<void> {
  const { folder, services, destinationsEach } = settings
  const dumped = await peer(netns, [settings.peer, 'dump'])
  if (dumped.services !== services || dumped.destinations !== services * destinationsEach) {
    throw new Error(
      `void: the C program read ${dumped.services} services, ${dumped.destinations} destinations`,
    )
  }
  add('list C', dumped.nanoseconds / 1e9)
  addAnswer('list', await workers.list.ask({ netns }))
  addAnswer('bytes', await workers.bytes.ask({ netns }))

  const [theirs, ours] = [`${folder}/ipvsadm.txt`, `${folder}/viaduct.txt`]
  add('-Ln ipvsadm', await ipvsadm(netns, '-Ln', '/dev/null', theirs))
  addAnswer('print', await workers.print.ask({ netns, output: ours }))
  addAnswer('proc', await workers.proc.ask({ netns }))
  const same = readFileSync(theirs).equals(readFileSync(ours))
  for (const file of [theirs, ours]) rmSync(file)
  if (!same) throw new Error('void: -Ln prints another table than ipvsadm')
}

/** One change on the full table, in turns with the C program. */
async function oneChange(
  settings: GuestSettings,
  netns: string,
  file: string,
  worker: Worker,
): Promise<void> {
  const rounds = 40
  const count = 50
  const child = new PeerExchange(settings.peer, file, netns)
  const theirs: number[] = []
  const ours: number[] = []
  const holds: LoopDelay[] = []
  for (let round = 0; round < rounds; round++) {
    theirs.push((await child.exchange(count)) / 1000 / count)
    const answer = await worker.ask({ netns, count })
    ours.push((answer.seconds * 1e6) / count)
    holds.push(answer.loop)
  }
  loop['change']!.push(worst(holds))
  await child.close()
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
  writeFileSync(files.messages, messagesOf(operationsOf(settings)))
  writeFileSync(files.changes, messagesOf(changesOf(settings)))
  writeRules(files.rules, settings)
  const names = ['load', 'list', 'bytes', 'print', 'proc', 'change', 'encode', 'touch', 'idle'] as const
  const workers = Object.fromEntries(
    names.map((name) => [name, new Worker(name, settings)]),
  ) as unknown as Workers
  process.stderr.write('warming up\n')
  await warmUp(settings, files, workers)
  for (let each = 1; each <= settings.runs; each++) {
    process.stderr.write(`run ${each} of ${settings.runs}\n`)
    await oneRun(settings, files, workers)
  }
  for (const name of names) await workers[name].close()
  for (const file of Object.values(files) as string[]) rmSync(file)
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
