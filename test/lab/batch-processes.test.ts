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

    // Both want it to be as they say. Who comes late has it so, unless the other reads and writes in between.
    const times = 20
    const lists = [servers(10), servers(10, 5)] as const
    await both.perform(
      { do: 'set', service, servers: lists[0], times },
      { do: 'set', service, servers: lists[1], times },
    )
    const there = new Set((await ipvs.destinations(service)).map(({ address }) => address))
    for (const { address } of servers(5, 5)) t.ok(there.has(address), `${address}, which both want, is there`)
    t.ok([...there].every((address) => servers(15).some((one) => one.address === address)))
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
