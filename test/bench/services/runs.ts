/**
 * Programming, restarts, changes and memory, in turns with the kernel's own share: the bytes that a run of ours sent, sent
 * once more by a C program. What is in the kernel is read back each time.
 */
import { readFileSync } from 'node:fs'
import { NftablesDataplane } from '../../../src/dataplane/nftables/dataplane.js'
import { settingsOf } from '../../../src/dataplane/ruleset/settings.js'
import { Nftables } from '../../../src/nftables/index.js'
import { Reconciler } from '../../../src/reconciler/index.js'
import { inNamespace } from '../namespaces.js'
import { peer, PeerExchange } from '../nftables/peer.js'
import { recorder } from '../nftables/record.js'
import type { Place } from '../processes.js'
import { changeNames, Changes, noTimes, type Pace, paces, type Times } from './changes.js'
import { type LatencyFigures, measureLatency } from './latency.js'
import { endpointsEach, node, nodeName, objectsOf, type Size } from './objects.js'
import { type Cold, cold, Worker } from './processes.js'

export interface Settings {
  readonly runs: number
  readonly services: number
  /** Of each kind of change, in each run. */
  readonly changes: number
  /** Compiled C programs. */
  readonly peer: string
  readonly packets: string
  readonly folder: string
}

/** A list has one number for each run, in seconds unless said. */
export interface Figures {
  readonly load: readonly Cold[]
  readonly loadShare: readonly number[]
  readonly restart: readonly Cold[]
  readonly restartShare: readonly number[]
  readonly memory: readonly Cold[]
  /** By the pace, and by the number of services: microseconds of each change, all runs together. */
  readonly changes: Readonly<Record<Pace, Readonly<Record<number, Times>>>>
  /** Of the C program, at the size that is loaded. */
  readonly changesShare: Times
  readonly latency: LatencyFigures
}

export const memorySize: Size = { services: 5000, endpointsEach: 2 }
/** Beside the size that is loaded. */
export const otherSizes = [100, 50_000] as const

interface Files {
  readonly load: string
  readonly restart: string
  readonly first: string
  readonly changes: string
}

/** On a dataplane whose socket writes down what is sent. */
async function recorded(netns: Place) {
  const transport = recorder(netns)
  const options = { netns, node }
  const settings = settingsOf(options, node!.addresses!)
  const dataplane = new NftablesDataplane(await Nftables.open({ transport }), settings, options)
  // Without a pause, for nothing is measured.
  const reconciler = new Reconciler({
    dataplane,
    nodeName,
    repairIntervalMilliseconds: 0,
    coalesceMilliseconds: 0,
  })
  return {
    transport,
    reconciler,
    async [Symbol.asyncDispose]() {
      await reconciler.close()
      dataplane.close()
    },
  }
}

/** So many that the second takes back what the first one made. */
const recordedRounds = 2

async function record(size: Size, { load, restart, first, changes }: Files): Promise<void> {
  await inNamespace(async (netns) => {
    for (const file of [load, restart]) {
      await using made = await recorded(netns)
      const { reconciler, transport } = made
      reconciler.replaceAll(objectsOf(size))
      transport.begin(file)
      await reconciler.start()
      transport.end()
      if (file === load) continue
      const change = new Changes(reconciler, size)
      // The first rounds make chains that later ones find: only with these can what is recorded be sent again and again.
      for (const file of [first, changes]) {
        transport.begin(file)
        for (let round = 0; round < recordedRounds; round++) {
          for (const name of changeNames) {
            change.make(name)
            await reconciler.settled()
          }
          change.next()
        }
        transport.end()
      }
    }
  })
}

/** Every service with all its servers. */
async function isWhole(netns: Place, size: Size): Promise<void> {
  const settings = settingsOf({ node }, node!.addresses!)
  const dataplane = new NftablesDataplane(await Nftables.open({ netns }), settings, { netns, node })
  const services = await dataplane.read()
  dataplane.close()
  const servers = services.reduce((sum, { cluster }) => sum + cluster.length, 0)
  if (services.length !== size.services || servers !== size.services * size.endpointsEach) {
    throw new Error(`void: ${services.length} services with ${servers} servers`)
  }
}

async function share(settings: Settings, netns: Place, file: string): Promise<number> {
  return (await peer(netns, [settings.peer, 'replay', file])).nanoseconds / 1e9
}

/** Each in a fresh namespace; the restart in the one that was just loaded. */
async function programming(
  settings: Settings,
  size: Size,
  files: Files,
  figures: { [K in 'load' | 'restart' | 'memory']: Cold[] } & {
    [K in 'loadShare' | 'restartShare']: number[]
  },
): Promise<void> {
  await inNamespace(async (netns) => {
    figures.loadShare.push(await share(settings, netns, files.load))
    await isWhole(netns, size)
  })
  await inNamespace(async (netns) => {
    figures.load.push(await cold(netns, size))
    await isWhole(netns, size)
    figures.restartShare.push(await share(settings, netns, files.restart))
    figures.restart.push(await cold(netns, size))
  })
  await inNamespace(async (netns) => {
    figures.memory.push(await cold(netns, memorySize, 'streamed'))
    await isWhole(netns, memorySize)
  })
}

/** All sizes in turns. */
async function changing(
  settings: Settings,
  sizes: readonly Size[],
  files: Files,
  times: Readonly<Record<Pace, Record<number, Times>>>,
  shares: Times,
): Promise<void> {
  await inNamespaces(sizes.length + 1, async (places) => {
    const theirs = places.at(-1)!
    const workers = new Map(sizes.map((size) => [size.services, new Worker(size, 'nftables')]))
    const exchange = new PeerExchange(settings.peer, files.changes, theirs)
    try {
      for (const [index, worker] of [...workers.values()].entries()) {
        await worker.ask({ netns: places[index]! })
        // The engine compiles what it will run.
        await worker.ask({ rounds: 20, pace: 'in a row' })
      }
      await share(settings, theirs, files.load)
      await share(settings, theirs, files.first)
      const each = 10
      for (let done = 0; done < settings.changes; done += each) {
        for (const [services, worker] of workers) {
          for (const pace of paces) {
            const { nanoseconds } = await worker.ask({ rounds: each, pace })
            for (const name of changeNames) {
              times[pace][services]![name].push(...nanoseconds![name].map((one) => one / 1000))
            }
          }
        }
        const taken = await exchange.exchange(each * changeNames.length)
        for (const [index, one] of taken.entries()) {
          shares[changeNames[index % changeNames.length]!].push(one / 1000)
        }
      }
    } finally {
      // A namespace lives as long as they do.
      await exchange.close()
      for (const worker of workers.values()) await worker.close()
    }
    for (const [index, size] of sizes.entries()) await isWhole(places[index]!, size)
  })
}

async function inNamespaces(count: number, work: (places: readonly Place[]) => Promise<void>): Promise<void> {
  const next = (places: readonly Place[]): Promise<void> =>
    places.length === count ? work(places) : inNamespace((place) => next([...places, place]))
  await next([])
}

/** Each change was sent in one part, or what the C program tells of each would be of another. */
function isInParts(file: string): boolean {
  const bytes = readFileSync(file)
  let parts = 0
  for (let offset = 0; offset < bytes.length; offset += 8 + bytes.readUInt32LE(offset + 4)) parts++
  return parts === recordedRounds * changeNames.length
}

export async function measureAll(settings: Settings): Promise<Figures> {
  const { folder, services, runs } = settings
  const size = { services, endpointsEach }
  const files: Files = {
    load: `${folder}/load`,
    restart: `${folder}/restart`,
    first: `${folder}/first-changes`,
    changes: `${folder}/changes`,
  }
  process.stderr.write('recording\n')
  await record(size, files)
  if (!isInParts(files.changes)) throw new Error('void: a change was not sent in one part')
  const programmed = {
    load: [] as Cold[],
    loadShare: [] as number[],
    restart: [] as Cold[],
    restartShare: [] as number[],
    memory: [] as Cold[],
  }
  const sizes = [...new Set([otherSizes[0], services, otherSizes[1]])].map((services) => ({
    services,
    endpointsEach,
  }))
  const bySize = (): Record<number, Times> =>
    Object.fromEntries(sizes.map(({ services }) => [services, noTimes()]))
  const changes = { 'in a row': bySize(), 'after a rest': bySize() }
  const changesShare = noTimes()
  for (let each = 1; each <= runs; each++) {
    process.stderr.write(`run ${each} of ${runs}: programming\n`)
    await programming(settings, size, files, programmed)
    process.stderr.write(`run ${each} of ${runs}: changes\n`)
    await changing(settings, sizes, files, changes, changesShare)
  }
  process.stderr.write('latency\n')
  const latency = await measureLatency(settings.packets, runs * 10, 'nftables')
  return { ...programmed, changes, changesShare, latency }
}
