/**
 * The cases of the benchmark that are ours. Each runs in a process of its own, so that none finds the memory that
 * another has left behind: it does its work once for each line on standard input, and answers each with a line.
 *
 *   node worker.js CASE '{"services":10000,"destinationsEach":10}'
 */
import { appendFileSync, closeSync, readSync, rmSync } from 'node:fs'
import { run as runIpvsadm } from '../../../src/cli/ipvsadm/index.js'
import { Ipvs, type IpvsOperation } from '../../../src/index.js'
import { openFile } from '../../../src/net/index.js'
import { NETLINK_GENERIC, openSocket, type Transport, Writer } from '../../../src/netlink/index.js'
import { touchedPages } from '../measure.js'
import type { Place } from '../processes.js'
import { type Prepare, serve } from '../serve.js'
import { encode } from './encode.js'
import { changesOf, operationsOf, type Size } from './table.js'

/** What a line asks for. */
export interface Task {
  /** Left out by cases that need none. */
  readonly netns?: Place
  /** Of changes. */
  readonly count?: number
  /** A file for what `-Ln` prints. */
  readonly output?: string
  /** How long it holds the event loop is asked for, and not how long it takes. */
  readonly watch?: boolean
}

/** Made once: the objects that a program would have. */
function casesOf(size: Size) {
  const operations = operationsOf(size)
  const writer = new Writer(operations.length * 140)
  const memories: Uint8Array[] = []
  return {
    async load({ netns }, measure) {
      await using ipvs = await Ipvs.open({ netns })
      await measure(async () => {
        const { applied, failures } = await ipvs.apply(operations)
        if (failures.length > 0 || applied !== operations.length) {
          throw new Error(`void: ${applied} of ${operations.length}; ${String(failures[0]?.error)}`)
        }
      })
    },

    async list({ netns }, measure) {
      await using ipvs = await Ipvs.open({ netns })
      await measure(async () => {
        const list = await ipvs.list()
        const count = list.reduce((sum, { destinations }) => sum + destinations.length, 0)
        if (list.length !== size.services || count !== size.services * size.destinationsEach) {
          throw new Error(`void: read ${list.length} services and ${count} destinations`)
        }
      })
    },

    /** The requests of a list once more, with what they are answered left as bytes. */
    async bytes({ netns }, measure) {
      const sent: Parameters<Transport['exchange']>[] = []
      const socket = openSocket({ protocol: NETLINK_GENERIC, netns })
      const recorder: Transport = {
        exchange(request, length, ...given) {
          sent.push([request.slice(0, length), length, ...given])
          return socket.exchange(request, length, ...given)
        },
        close: () => socket.close(),
      }
      await using ipvs = await Ipvs.open({ transport: recorder })
      sent.length = 0
      await ipvs.list()
      await measure(async () => {
        for (const given of sent) await socket.exchange(...given)
      })
    },

    async print({ netns, output }, measure) {
      if (output !== undefined) rmSync(output, { force: true })
      const keep = (chunk: Uint8Array | string, done: () => void): void => {
        if (output !== undefined) appendFileSync(output, chunk)
        done()
      }
      const streams = { stdin: process.stdin, stdout: { write: keep }, stderr: process.stderr }
      await measure(async () => {
        const status = await runIpvsadm(['-Ln'], streams, { netns })
        if (status !== 0) throw new Error(`void: -Ln ended with ${status}`)
      })
    },

    /** The bytes that -Ln is made of: read as it reads them, and left alone. */
    async proc({ netns }, measure) {
      const buffer = new Uint8Array(1 << 14)
      await measure(async () => {
        const fd = openFile('/proc/net/ip_vs', { netns })
        for (let reads = 1; readSync(fd, buffer) > 0; reads++) {
          if ((reads & 127) === 0) await new Promise((resolve) => setImmediate(resolve))
        }
        closeSync(fd)
      })
    },

    /** So many changes of one destination, one after the other. */
    async change({ netns, count = 0 }, measure) {
      const changes = changesOf(size).map(
        (change) => change as IpvsOperation & { operation: 'setDestination' },
      )
      await using ipvs = await Ipvs.open({ netns })
      await measure(async () => {
        for (let done = 0; done < count; done++) {
          const { service, destination } = changes[done & 1]!
          await ipvs.setDestination(service, destination)
        }
      })
    },

    async encode(_, measure) {
      await measure(() => {
        writer.reset()
        return encode(writer, operations)
      })
    },

    /** How long the event loop of a process that does nothing is held: by the machine, that is. */
    async idle(_, measure) {
      await measure(() => new Promise((resolve) => setTimeout(resolve, 2000)))
    },

    /** What a page costs that was not touched before. */
    async touch(_, measure) {
      const memory = new Uint8Array(touchedPages * 4096)
      memories.push(memory)
      await measure(() => {
        for (let at = 0; at < memory.length; at += 4096) memory[at] = 1
        return Promise.resolve()
      })
    },
  } satisfies Record<string, Prepare<Task>>
}

export type Case = keyof ReturnType<typeof casesOf>

const [name, settings] = process.argv.slice(2) as [Case, string]
const cases: Readonly<Record<Case, Prepare<Task>>> = casesOf(JSON.parse(settings) as Size)
await serve(cases[name])
