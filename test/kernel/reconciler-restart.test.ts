/** A process begins again while something that it is to read is missing or broken: what was programmed before goes on. */
import { once } from 'node:events'
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import t, { type Test } from 'tap'
import { Conntrack } from '../../src/conntrack/index.js'
import { openDataplane } from '../../src/dataplane/index.js'
import type { ModelObject } from '../../src/model/index.js'
import { Reconciler, type ReconcilerOptions } from '../../src/reconciler/index.js'
import { FileSource, MemorySource, type Source } from '../../src/sources/index.js'
import type { Host } from '../../src/testing/index.js'
import { until } from '../lab/support/until.js'
import { ask, serverPort, serviceNetwork } from './services-network.js'

const address = { web: '172.30.0.10', other: '172.30.0.20', udp: '172.30.0.30' }

async function network(t: Test) {
  const { hosts } = await serviceNetwork(t)
  /** A process: it is over when the next one begins, or the test ends. */
  let end = (): Promise<void> => Promise.resolve()
  const begin = async (options: Partial<ReconcilerOptions> = {}): Promise<Reconciler> => {
    await end()
    const dataplane = await openDataplane({ netns: hosts.node.netns })
    const reconciler = new Reconciler({ dataplane, ...options })
    end = async () => {
      await reconciler.close()
      dataplane.close()
    }
    return reconciler
  }
  t.teardown(() => end())
  return { hosts, begin }
}

function service(name: keyof typeof address, ...hosts: readonly Host[]): ModelObject {
  const protocol = name === 'udp' ? 'udp' : 'tcp'
  return {
    name,
    address: address[name],
    ports: [{ port: 80, targetPort: serverPort, protocol }],
    servers: hosts.map((host) => ({ address: host.address, port: serverPort })),
  }
}

/** As a file has them. */
function textOf(...objects: readonly ModelObject[]): string {
  return objects.map((object) => JSON.stringify(object)).join('\n---\n')
}

function following(reconciler: Reconciler, ...sources: readonly Source[]): void {
  for (const source of sources) void reconciler.follow(source)
}

async function programmed({ dataplane }: Reconciler): Promise<string[]> {
  return (await dataplane.read()).flatMap(({ frontends }) =>
    frontends.flatMap((frontend) => ('address' in frontend ? frontend.address : [])),
  )
}

t.test('services of a file that is broken at a start go on, until it says otherwise', async (t) => {
  const { hosts, begin } = await network(t)
  const { client, a, b, c } = hosts
  await a.serveTcp((socket) => socket.pipe(socket), { port: 7000 })
  await b.serveUdp((_bytes, _from, reply) => reply(Buffer.from('b')), { port: serverPort })
  const echo = { name: 'echo', address: address.other, ports: [{ port: 7, targetPort: 7000 }] }
  const ofB = [service('other', b), service('udp', b), { ...echo, servers: [a.address] }]
  const folder = t.testdir({ 'a.yaml': JSON.stringify(service('web', a)) })
  const file = path.join(folder, 'b.yaml')
  await writeFile(file, textOf(...ofB))

  const first = await begin()
  following(first, new FileSource(folder))
  await first.start()
  t.notOk(first.problems().keepsUnknown)
  const socket = await client.connect({ address: address.other, port: 7 })
  t.teardown(() => socket.destroy())
  const answer = async (): Promise<string> => {
    const answered = once(socket, 'data', { signal: AbortSignal.timeout(10_000) })
    socket.write('x')
    return String((await answered)[0])
  }
  const datagrams = await client.udp()
  const datagram = async (): Promise<string> => {
    const answered = once(datagrams, 'message', { signal: AbortSignal.timeout(10_000) })
    datagrams.send('?', 80, address.udp)
    return String((await answered)[0])
  }
  await using conntrack = await Conntrack.open({ netns: hosts.node.netns })
  const flow = async (): Promise<number | undefined> =>
    (await conntrack.list({ family: 'ipv4', protocol: 'udp' }))[0]?.id
  t.same([await answer(), await datagram()], ['x', 'b'])
  const flowBefore = await flow()

  await writeFile(file, '[{ "name": "other", ')
  const second = await begin()
  following(second, new FileSource(folder, { quietMilliseconds: 5 }))
  await second.start()
  t.ok(second.problems().keepsUnknown, 'it tells that it keeps them')
  t.match(second.problems().sources, [{ severity: 'error', place: path.relative('', file) }])
  t.equal(second.counts.writes, 0, 'nothing was touched')
  const all = async (): Promise<unknown> => [
    await ask(client, address.web),
    await ask(client, address.other),
    await answer(),
    await datagram(),
  ]
  t.same(await all(), [['a'], ['b'], 'x', 'b'])
  t.equal(await flow(), flowBefore, 'its flows are the same')
  // A change of what is known leaves them alone, and so does a pass.
  second.upsert(service('web', c))
  await second.settled()
  t.same(await all(), [['c'], ['b'], 'x', 'b'])
  // Somebody else comes for a frontend of theirs.
  second.upsert({ ...service('other', a), name: 'stranger' })
  await second.settled()
  t.same(await all(), [['c'], ['a'], 'x', 'b'])
  second.delete({ kind: 'Service', name: 'stranger' })
  await second.settled()
  await t.rejects(ask(client, address.other), { code: 'ECONNREFUSED' })
  t.same([await answer(), await datagram()], ['x', 'b'])

  await writeFile(path.join(folder, '.b.yaml'), textOf(service('other', c), ...ofB.slice(1)))
  await rename(path.join(folder, '.b.yaml'), file)
  await until('it has heard of them', () => !second.problems().keepsUnknown)
  await second.settled()
  t.same(await ask(client, address.other, 3), ['c', 'c', 'c'])
  t.same([await answer(), await datagram(), await flow()], ['x', 'b', flowBefore])

  await rm(file)
  await until('they are gone', async () => (await programmed(second)).length === 1)
  t.same(await programmed(second), [address.web])
})

t.test('a service that goes while a file is broken is gone when the file is in order', async (t) => {
  const { hosts, begin } = await network(t)
  const { client, a, b } = hosts
  const folder = t.testdir({ 'a.yaml': textOf(service('web', a), service('other', b)) })
  const first = await begin()
  following(first, new FileSource(folder))
  await first.start()
  await writeFile(path.join(folder, 'a.yaml'), '{')
  const second = await begin()
  following(second, new FileSource(folder, { quietMilliseconds: 5 }))
  await second.start()
  t.same(await ask(client, address.other), ['b'])
  await writeFile(path.join(folder, 'a.yaml'), JSON.stringify(service('web', b)))
  await until('it has heard of all', () => !second.problems().keepsUnknown)
  await second.settled()
  t.same(await programmed(second), [address.web])
  t.same(await ask(client, address.web), ['b'])
})

t.test('a folder that is not there at a start takes nothing away', async (t) => {
  const { hosts, begin } = await network(t)
  const { client, a, b } = hosts
  const folder = path.join(t.testdir(), 'services.d')
  await mkdir(folder)
  await writeFile(path.join(folder, 'a.yaml'), JSON.stringify(service('web', a)))
  const first = await begin()
  following(first, new FileSource(folder))
  await first.start()
  await rename(folder, `${folder}.away`)
  const second = await begin()
  const memory = new MemorySource([service('other', b)])
  following(second, memory, new FileSource(folder, { quietMilliseconds: 5 }))
  await second.start()
  t.same([await ask(client, address.web), await ask(client, address.other)], [['a'], ['b']])
  await mkdir(folder)
  await until('there is nothing in it', async () => (await programmed(second)).length === 1)
  t.same(await programmed(second), [address.other])
  // Once it was in order, what it holds counts.
  await rm(folder, { recursive: true })
  await until('it is told of', () => second.problems().sources.length > 0)
  t.notOk(second.problems().keepsUnknown)
})

/** Fails so often, and then has these objects. */
function failing(times: number, ...objects: ModelObject[]): Source {
  const memory = new MemorySource(objects)
  let left = times
  return {
    list: (options) => (left-- > 0 ? Promise.reject(new Error('not now')) : memory.list(options)),
    watch: (revision, options) => memory.watch(revision, options),
  }
}

t.test('a source that fails at a start is not waited for, and what it may want stays', async (t) => {
  const { hosts, begin } = await network(t)
  const { client, a, b } = hosts
  const first = await begin()
  first.upsert(service('web', a))
  first.upsert(service('udp', a))
  await first.start()
  const second = await begin()
  second.upsert(service('other', b))
  following(second, failing(1, service('web', b)))
  await second.start()
  t.match(second.problems(), { errors: [{ message: 'not now' }], keepsUnknown: true })
  t.same([await ask(client, address.web), await ask(client, address.other)], [['a'], ['b']])
  await until('it has answered', () => !second.problems().keepsUnknown)
  await second.settled()
  t.same(await ask(client, address.web), ['b'])
  t.same((await programmed(second)).sort(), [address.web, address.other])
  t.same(second.problems().errors, [])
})

t.test('nor is one that does not answer at all', async (t) => {
  const { hosts, begin } = await network(t)
  const { client, a } = hosts
  const first = await begin()
  first.upsert(service('web', a))
  await first.start()
  const silent: Source = {
    list: ({ signal } = {}) =>
      new Promise((_resolve, reject) => {
        signal!.addEventListener('abort', () => reject(signal!.reason as Error))
      }),
    watch: () => new MemorySource().watch('0'),
  }
  const second = await begin({ sourceTimeoutMilliseconds: 20 })
  following(second, silent)
  await second.start()
  t.match(second.problems(), { errors: [{ message: /within 20 ms/ }], keepsUnknown: true })
  t.same(await ask(client, address.web), ['a'])
})

t.test('an object that is refused at a start may be one of those that are there', async (t) => {
  const { hosts, begin } = await network(t)
  const { client, a } = hosts
  const first = await begin()
  first.upsert(service('web', a))
  await first.start()
  const second = await begin()
  second.upsert({ ...service('web', a), ports: 'none' } as unknown as ModelObject)
  await second.start()
  t.ok(second.problems().keepsUnknown)
  t.same(await ask(client, address.web), ['a'])
  second.delete({ kind: 'Service', name: 'web' })
  await second.settled()
  t.same(await programmed(second), [])
})
