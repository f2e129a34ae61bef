/** Two processes change the same table at the same time: the kernel decides for each change who made it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Test } from 'tap'
import { type DestinationInput, Ipvs, type ServiceKey } from '../../src/index.js'
import type { Netns } from '../../src/net/index.js'
import { ipvsTest } from './ipvs-test.js'
import { type Answer, otherProcess, perform, type Task } from './support/other-process.js'
import { uses } from './support/features.js'

const service: ServiceKey = { protocol: 'tcp', address: '192.0.2.10', port: 80 }

interface Both {
  /** The same task, or one for each, by both at once. */
  perform(here: Task, there?: Task): Promise<readonly [Answer, Answer]>
  close(): Promise<void>
}

async function startOther(ipvs: Ipvs, { fd }: { readonly fd: number }): Promise<Both> {
  const child = spawn(process.execPath, [otherProcess, `/proc/${process.pid}/fd/${fd}`], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const line = async (): Promise<string> => {
    const { value, done } = (await lines.next()) as { value: string; done?: boolean }
    if (done === true) throw new Error('the other process has ended')
    return value
  }
  if ((await line()) !== 'ready') throw new Error('the other process did not start')
  return {
    async perform(here, there = here) {
      child.stdin.write(`${JSON.stringify(there)}\n`)
      const [mine, theirs] = await Promise.all([perform(ipvs, here), line()])
      return [mine, JSON.parse(theirs) as Answer]
    },
    async close() {
      child.stdin.end()
      await once(child, 'close')
    },
  }
}

const servers = (count: number, from = 0): DestinationInput[] =>
  Array.from({ length: count }, (_, index) => ({
    address: `10.9.${(from + index) >> 8}.${(from + index) & 255}`,
    port: 8080,
  }))

/** Each server was changed by one of the two, and the other was told so. */
function checkShared(t: Test, count: number, code: string, [mine, theirs]: readonly [Answer, Answer]): void {
  const all = [...mine.applied, ...theirs.applied].sort((a, b) => a - b)
  t.same(all, [...Array(count).keys()], 'each is changed once')
  t.equal(mine.errors.length + theirs.errors.length, count)
  t.same(new Set([...mine.errors, ...theirs.errors]), new Set([code]), `the other is told ${code}`)
}

ipvsTest('two processes change the same table', async (t, sandbox) => {
  const { director } = (await sandbox({ hosts: ['director'] })).hosts
  const netns: Netns & { readonly fd: number } = director.netns
  await using ipvs = await Ipvs.open({ netns })
  await ipvs.createService({ ...service, scheduler: 'wlc' })
  const both = await startOther(ipvs, netns)
  try {
    const count = 400
    const all = servers(count)
    checkShared(t, count, 'EEXIST', await both.perform({ do: 'create', service, servers: all }))
    t.equal((await ipvs.destinations(service)).length, count)
    checkShared(t, count, 'ENOENT', await both.perform({ do: 'delete', service, servers: all }))
    t.same(await ipvs.destinations(service), [])

    // Each makes and unmakes its own beside the other's.
    const [mine, theirs] = [servers(count), servers(count, count)]
    const tasks = (what: 'create' | 'delete'): [Task, Task] => [
      { do: what, service, servers: mine },
      { do: what, service, servers: theirs },
    ]
    t.same(
      (await both.perform(...tasks('create'))).map(({ errors }) => errors),
      [[], []],
    )
    t.equal((await ipvs.destinations(service)).length, 2 * count)
    t.same(
      (await both.perform(...tasks('delete'))).map(({ errors }) => errors),
      [[], []],
    )

    // Both want it to be as they say. Who comes late has it so, unless the other reads and writes in between; what both
    // want is there at every moment. So few that they are read in one piece.
    const times = 10
    const lists = [servers(5), servers(5, 2)] as const
    await ipvs.apply(
      servers(3, 2).map((destination) => ({ operation: 'createDestination', service, destination })),
    )
    const race = { over: false }
    const racing = both
      .perform(
        { do: 'set', service, servers: lists[0], times },
        { do: 'set', service, servers: lists[1], times },
      )
      .finally(() => (race.over = true))
    const missed = new Set<string>()
    const strange = new Set<string>()
    const seen = new Set<string>()
    do {
      const there = (await ipvs.destinations(service)).map(({ address }) => address)
      seen.add(there.sort().join())
      for (const { address } of servers(3, 2)) if (!there.includes(address)) missed.add(address)
      for (const one of there) if (!servers(7).some(({ address }) => address === one)) strange.add(one)
      await new Promise((resolve) => setImmediate(resolve))
    } while (!race.over)
    await racing
    t.same([...missed], [], 'what both want was never missing')
    t.same([...strange], [], 'and nothing was there that nobody wants')
    t.ok(seen.size > 1, `${seen.size} states were seen: they did race`)
    await both.perform({ do: 'set', service, servers: lists[0], times: 1 })
    t.same(
      (await ipvs.destinations(service)).map(({ address }) => address).sort(),
      lists[0].map(({ address }) => address).sort(),
      'once they agree, it is so',
    )
    uses('two-processors')
  } finally {
    await both.close()
  }
})
