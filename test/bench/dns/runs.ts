/** Servers beside each other, asked by the same client: what each takes of a processor for a query. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import { once } from 'node:events'
import { run, Turns } from '../processes.js'
import { addressOf } from './objects.js'

export interface Figure {
  /** Of processor time a query, user and system. */
  readonly microseconds: number
  readonly perSecond: number
  readonly wrong: number
  readonly lost: number
}

export interface Figures {
  readonly unbound: Figure[]
  readonly unboundMissing: Figure[]
  readonly unboundOneByOne: Figure[]
  readonly ours: Figure[]
  readonly few: Figure[]
  readonly missing: Figure[]
  readonly oneByOne: Figure[]
  /** Microseconds of a change of one service, until the zone has it. */
  readonly change: number[]
  readonly changeAmongFew: number[]
}

const few = 10
const changes = 2000

interface Asking {
  readonly client: string
  readonly queries: number
  readonly window: number
}

/** A process that answers. */
interface Subject {
  readonly pid: number
  readonly port: number
}

/** The server has the first processor, the client the second one. */
const onFirst = ['taskset', '-c', '0']
const onSecond = ['-c', '1']

class Worker extends Turns<{ readonly port: number } & { readonly microseconds: number }> {
  constructor(services: number) {
    const program = fileURLToPath(new URL('worker.js', import.meta.url))
    super(['taskset', [...onFirst.slice(1), process.execPath, program, String(services)]])
  }

  async begin(): Promise<Subject> {
    const { port } = await this.next()
    return { pid: this.pid, port }
  }

  async change(): Promise<number> {
    return (await this.turn(String(changes))).microseconds
  }
}

class Unbound extends Turns<never> {
  constructor(file: string) {
    super(['taskset', [...onFirst.slice(1), 'unbound', '-d', '-c', file]])
  }

  async begin(port: number, client: string): Promise<Subject> {
    for (let tried = 0; tried < 100; tried++) {
      // It says nothing when it is ready: asked once, it answers.
      const asked = await run(client, [String(port), '1', '1', '1', 's']).catch(() => undefined)
      if (asked !== undefined && (JSON.parse(asked.stdout) as { answered: number }).answered === 1) break
    }
    return { pid: this.pid, port }
  }
}

/** Nanoseconds of all its threads on a processor. */
function processorNanoseconds(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`)
  return threads.reduce(
    (sum, thread) =>
      sum + Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]),
    0,
  )
}

async function ask(
  { pid, port }: Subject,
  asking: Asking,
  names: number,
  prefix: 's' | 'x',
): Promise<Figure> {
  const { client, queries, window } = asking
  const before = processorNanoseconds(pid)
  const { stdout } = await run('taskset', [
    ...[...onSecond, client, String(port), String(queries), String(window), String(names), prefix],
  ])
  const { answered, wrong, lost, seconds } = JSON.parse(stdout) as Record<string, number> & {
    answered: number
  }
  return {
    microseconds: (processorNanoseconds(pid) - before) / 1000 / answered,
    perSecond: answered / seconds!,
    wrong: wrong!,
    lost: lost!,
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

/** As few words as make it answer what it is given itself, on one thread. */
function configuration(port: number, names: number): string {
  const local = Array.from(
    { length: names },
    (_, index) => `  local-data: "s${index}.default.svc.cluster.local. 5 IN A ${addressOf(index)}"`,
  )
  return `server:
  interface: 127.0.0.1
  port: ${port}
  num-threads: 1
  do-daemonize: no
  username: ""
  chroot: ""
  pidfile: ""
  use-syslog: no
  verbosity: 0
  module-config: "iterator"
  local-zone: "cluster.local." static
${local.join('\n')}
`
}

export async function measureAll(options: {
  readonly runs: number
  readonly services: number
  readonly queries: number
  readonly window: number
  readonly client: string
  readonly folder: string
}): Promise<Figures> {
  const { runs, services, queries, window, client, folder } = options
  const port = await freePort()
  const file = `${folder}/unbound.conf`
  writeFileSync(file, configuration(port, services))
  const unbound = new Unbound(file)
  const [many, little] = [new Worker(services), new Worker(few)]
  try {
    const peer = await unbound.begin(port, client)
    const ours = await many.begin()
    const small = await little.begin()
    const figures: Figures = {
      unbound: [],
      unboundMissing: [],
      unboundOneByOne: [],
      ours: [],
      few: [],
      missing: [],
      oneByOne: [],
      change: [],
      changeAmongFew: [],
    }
    const asking = { client, queries, window }
    const slowly = { client, queries: Math.ceil(queries / 10), window: 1 }
    // What is compiled at run time, and kept, is there from the second time on.
    for (const subject of [peer, ours]) await ask(subject, asking, services, 's')
    await ask(small, asking, few, 's')
    await ask(ours, asking, services, 'x')
    for (let round = 0; round < runs; round++) {
      figures.unbound.push(await ask(peer, asking, services, 's'))
      figures.ours.push(await ask(ours, asking, services, 's'))
      figures.few.push(await ask(small, asking, few, 's'))
      figures.unboundMissing.push(await ask(peer, asking, services, 'x'))
      figures.missing.push(await ask(ours, asking, services, 'x'))
      figures.unboundOneByOne.push(await ask(peer, slowly, services, 's'))
      figures.oneByOne.push(await ask(ours, slowly, services, 's'))
      figures.change.push(await many.change())
      figures.changeAmongFew.push(await little.change())
    }
    return figures
  } finally {
    await Promise.all([many.close(), little.close(), unbound.close()])
  }
}
