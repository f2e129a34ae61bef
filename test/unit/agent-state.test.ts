/** What outlives `viaduct run`: the state file, sources that are remembered, servers that are drained. */
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { Drains, formatServer, readServer } from '../../src/agent/drains.js'
import { JoinedSource } from '../../src/agent/joined-source.js'
import { RememberedSource } from '../../src/agent/remembered-source.js'
import { nothingSaved, type SavedState, StateError, StateFile } from '../../src/agent/state-file.js'
import type { ModelObject, VirtualService } from '../../src/model/index.js'
import { joinShapers } from '../../src/reconciler/index.js'
import { FileSource, MemorySource, type SourceEvent } from '../../src/sources/index.js'

async function temporary(t: Test): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'viaduct-state-'))
  t.teardown(() => rm(folder, { recursive: true }))
  return folder
}

const object = (name: string): ModelObject => ({ name, servers: ['10.0.0.1'], ports: [80] })

const state = (names: readonly string[]): SavedState => ({
  objects: new Map([['folder', names.map(object)]]),
  allocations: [
    {
      service: 'default/web',
      clusterAddresses: ['10.96.0.1'],
      loadBalancerAddresses: [],
      nodePorts: { '80/tcp': 30000 },
    },
  ],
  drained: ['10.0.0.7:80'],
  settings: { 'net/netfilter/nf_conntrack_udp_timeout': '30' },
})

t.test('what is written is read, and nothing but that', async (t) => {
  const folder = await temporary(t)
  const file = new StateFile(path.join(folder, 'deep', 'state'))
  t.equal(await file.read(), undefined)
  const saved = state(['a', 'b'])
  await file.write(saved)
  t.strictSame(await file.read(), saved)
  t.equal((await stat(file.file)).mode & 0o777, 0o600)
  await file.write(nothingSaved)
  t.strictSame(await file.read(), nothingSaved)
  t.strictSame(await readdir(path.dirname(file.file)), ['state'], 'nothing unfinished is left')
  await file.remove()
  t.equal(await file.read(), undefined)
})

t.test('whatever byte is another one, it is noticed', async (t) => {
  const folder = await temporary(t)
  const file = new StateFile(path.join(folder, 'state'))
  await file.write(state(['a', 'b', 'c']))
  const whole = await readFile(file.file)
  await t.resolves(
    fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.record({ at: fc.nat(whole.length - 1), bits: fc.integer({ min: 1, max: 127 }) }),
          fc.record({ cut: fc.nat(whole.length - 1) }),
        ),
        async (damage) => {
          const bytes = Buffer.from(whole)
          if ('at' in damage) bytes[damage.at] = bytes[damage.at]! ^ damage.bits
          await writeFile(file.file, 'cut' in damage ? bytes.subarray(0, damage.cut) : bytes)
          const error = await file.read().then(
            () => undefined,
            (reason: unknown) => reason,
          )
          return error instanceof StateError
        },
      ),
      { numRuns: 300 },
    ),
  )
  await writeFile(file.file, '{"viaduct":"state","version":2}\n')
  await t.rejects(file.read(), StateError)
})

t.test('a folder that cannot be written leaves the file as it was', async (t) => {
  const folder = await temporary(t)
  const file = new StateFile(path.join(folder, 'state'))
  await file.write(state(['a']))
  // A folder of the name that the new one is written under: it cannot be opened, whoever one is.
  const { mkdir } = await import('node:fs/promises')
  await mkdir(`${file.file}.unfinished`)
  await t.rejects(file.write(state(['b'])), { code: 'EISDIR' })
  t.strictSame(await file.read(), state(['a']))
  await rm(`${file.file}.unfinished`, { recursive: true, force: true })
  await file.write(state(['b']))
  t.strictSame(await file.read(), state(['b']), 'and the next one is written')
})

t.test('what was there stands until everything can be read', async (t) => {
  const folder = await temporary(t)
  const manifests = path.join(folder, 'm')
  const source = new RememberedSource(new FileSource(manifests, { quietMilliseconds: 5 }), [
    object('old'),
    object('kept'),
  ])
  t.equal(source.objects.length, 2, 'from the first moment on: they may be saved before they are read')
  const { objects, revision, problems } = await source.list()
  t.strictSame(objects.map((one) => (one as { name: string }).name).sort(), ['kept', 'old'])
  t.match(problems, [{ severity: 'error' }])
  const controller = new AbortController()
  const events: SourceEvent[] = []
  const following = (async () => {
    for await (const event of source.watch(revision, { signal: controller.signal })) {
      events.push(event)
      if (event.event === 'deleted') break
    }
  })()
  const { mkdir, rename } = await import('node:fs/promises')
  await mkdir(`${folder}/new`)
  await writeFile(`${folder}/new/a.yaml`, JSON.stringify(object('kept')))
  await rename(`${folder}/new`, manifests)
  await following
  controller.abort()
  t.match(events.at(-1), { event: 'deleted', reference: { name: 'old' } })
  t.strictSame(
    source.objects.map((one) => (one as { name: string }).name),
    ['kept'],
  )
})

t.test('a source that is whole forgets at once', async (t) => {
  const memory = new MemorySource()
  memory.upsert(object('new'))
  let changes = 0
  const source = new RememberedSource(memory, [object('old'), {} as never], () => changes++)
  t.strictSame(
    (await source.list()).objects.map((one) => (one as { name: string }).name),
    ['new'],
  )
  t.equal(changes, 1)
})

const service = (servers: readonly string[]): VirtualService => {
  const list = servers.map((text) => ({ ...readServer(text), port: readServer(text).port ?? 80, weight: 1 }))
  return {
    key: 'default/web:80/tcp/ipv4',
    service: 'default/web',
    family: 'ipv4',
    protocol: 'tcp',
    frontends: [],
    servers: { cluster: list, local: list.slice(0, 1), draining: [], any: true },
    internalTrafficPolicy: 'cluster',
    externalTrafficPolicy: 'cluster',
  }
}

t.test('servers by hand', async (t) => {
  for (const text of ['10.0.0.7', '10.0.0.7:80', 'fd00::7', '[fd00::7]:80'])
    t.equal(formatServer(readServer(text)), text)
  t.strictSame(readServer('[fd00:0::7]:80'), { address: 'fd00::7', port: 80 })
  for (const text of ['', 'web', '10.0.0.7:0', '10.0.0.7:65536', '10.0.0.7:', '[10.0.0.7', 7, undefined, {}])
    t.throws(() => readServer(text), { name: 'ValidationError' }, JSON.stringify(text))

  const drains = new Drains()
  const told: string[] = []
  const stop = drains.watch((keys) => told.push(...keys))
  const web = service(['10.0.0.1:80', '10.0.0.2:80'])
  t.equal(drains.shape(web), web)
  t.strictSame(drains.add(readServer('10.0.0.1'), [web]), [web.key])
  t.strictSame(told, [web.key])
  t.match(drains.shape(web).servers, {
    cluster: [{ address: '10.0.0.2' }],
    local: [],
    draining: [{ address: '10.0.0.1', port: 80 }],
  })
  t.equal(drains.shape(web).servers.draining.length, 1, 'once, though it is among the local ones, too')
  t.strictSame(drains.add(readServer('10.0.0.2:81'), [web]), [], 'another port')
  t.equal(drains.shape(web).servers.cluster.length, 1)
  t.strictSame(drains.servers, ['10.0.0.1', '10.0.0.2:81'])
  t.strictSame(drains.remove(readServer('10.0.0.1'), [web]), [web.key])
  t.equal(drains.remove(readServer('10.0.0.1'), [web]), undefined)
  t.equal(drains.shape(web), web)
  stop()
  drains.add(readServer('10.0.0.1'), [web])
  t.equal(told.length, 2)
})

t.test('several shapers are one', async (t) => {
  const [one, other] = [new Drains([readServer('10.0.0.1')]), new Drains([readServer('10.0.0.2')])]
  const joined = joinShapers(one, other)
  const web = service(['10.0.0.1', '10.0.0.2', '10.0.0.3'])
  t.strictSame(
    joined.shape(web).servers.cluster.map(({ address }) => address),
    ['10.0.0.3'],
  )
  const told: (readonly string[])[] = []
  const stop = joined.watch((keys) => told.push(keys))
  one.add(readServer('10.0.0.3'), [web])
  other.remove(readServer('10.0.0.2'), [web])
  stop()
  other.add(readServer('10.0.0.2'), [web])
  t.strictSame(told, [[web.key], [web.key]])
})

t.test('sources as one: what each has, and what becomes of it', async (t) => {
  const [one, other] = [new MemorySource(), new MemorySource()]
  one.upsert(object('a'))
  other.upsert(object('b'))
  const joined = new JoinedSource([one, other])
  const { objects, revision } = await joined.list()
  t.strictSame(objects, [object('a'), object('b')])
  const ending = new AbortController()
  const watching = joined.watch(revision, { signal: ending.signal })
  const next = async () => (await watching.next()).value as SourceEvent
  other.upsert(object('c'))
  t.match(await next(), { event: 'upserted', object: object('c') })
  one.delete({ kind: 'Service', name: 'a' })
  const gone = await next()
  t.match(gone, { event: 'deleted', reference: { name: 'a' } })
  other.setProblems('there', [{ severity: 'error', place: 'there', message: 'broken' }])
  t.match(await next(), { event: 'problems', place: 'there' })
  ending.abort(new Error('enough'))
  await t.rejects(next(), /enough/)
  const again = joined.watch('revision' in gone ? gone.revision : '')
  t.match((await again.next()).value, { event: 'problems' }, 'from where it was left')
  await again.return?.()
  const failing = new JoinedSource([
    one,
    {
      list: () => one.list(),
      // eslint-disable-next-line require-yield -- it says nothing
      async *watch() {
        throw new Error('no more')
      },
    },
  ])
  await t.rejects(failing.watch((await failing.list()).revision).next(), /no more/)
})
