/** Objects that a program puts in, and what watchers of them are told. */
import t from 'tap'
import { isValidationError } from '../../src/errors/index.js'
import type { ModelObject } from '../../src/model/index.js'
import { MemorySource, type SourceEvent } from '../../src/sources/index.js'
import { Follower, listed } from './support/sources.js'

const web: ModelObject = { name: 'web', ports: [{ port: 80 }], servers: [] }
const other: ModelObject = { kind: 'Service', metadata: { name: 'other', namespace: 'lab' } }
const reference = { kind: 'Service', namespace: 'default', name: 'web' } as const

t.test('what is put in is listed, and what is taken out is gone', async (t) => {
  const source = new MemorySource([web])
  source.upsert(other)
  t.same(await listed(source), ['Service default/web', 'Service lab/other'])
  t.equal(source.delete(reference), true)
  t.equal(source.delete(reference), false)
  source.replaceAll([web])
  t.same(await listed(source), ['Service default/web'])
})

t.test('a watcher is told what changed since the list, and nothing that did not', async (t) => {
  const source = new MemorySource([web])
  const { revision } = await source.list()
  source.upsert({ ...web })
  source.upsert(other)
  source.delete(reference)
  source.replaceAll([{ ...other }, web])
  const events = source.watch(revision)
  t.match((await events.next()).value, { event: 'upserted', object: other })
  t.match((await events.next()).value, { event: 'deleted', reference })
  t.match((await events.next()).value, { event: 'upserted', object: web })
  const waiting = events.next()
  source.upsert({ ...web, scheduler: 'rr' })
  t.match((await waiting).value, { event: 'upserted', object: { scheduler: 'rr' } })
})

t.test('several watchers, of which one is slow: it is told to list again', async (t) => {
  const source = new MemorySource([], { history: 3 })
  const { revision } = await source.list()
  const slow = source.watch(revision)
  const quick = await Follower.start(source, t)
  for (const name of ['a', 'b', 'c', 'd']) {
    source.upsert({ ...web, name })
    await quick.next()
  }
  t.equal(quick.objects.size, 4)
  t.same((await slow.next()).value, { event: 'resynchronise' })
  t.equal((await slow.next()).done, true)
  const justKept = source.watch('1')
  t.match((await justKept.next()).value, { event: 'upserted', object: { name: 'b' }, revision: '2' })
})

t.test('a revision of another source is none of this', async (t) => {
  const source = new MemorySource([web])
  for (const revision of ['7', '-1', 'x', '', '1e0', '99999999999999999999']) {
    t.same((await source.watch(revision).next()).value, { event: 'resynchronise' }, revision)
  }
})

t.test('an abort ends a watch that waits with its reason, leaving it ends it without', async (t) => {
  const source = new MemorySource()
  const end = new AbortController()
  const aborted = source.watch('0', { signal: end.signal })
  const waiting = aborted.next()
  const reason = new Error('enough')
  end.abort(reason)
  await t.rejects(waiting, reason)
  await t.rejects(source.watch('0', { signal: end.signal }).next(), reason)
  await t.rejects(source.list({ signal: end.signal }), reason)

  const left = source.watch('0')
  const unanswered = left.next()
  await left.return?.()
  t.equal((await unanswered).done, true)
  t.equal((await left.next()).done, true)
})

t.test('what has no name, or is there twice, is refused, and nothing changes', async (t) => {
  const source = new MemorySource([web])
  const attempt = (work: () => void): unknown => {
    try {
      work()
    } catch (error) {
      if (isValidationError(error)) return error.path
      throw error
    }
    return undefined
  }
  const put = (object: unknown) => () => {
    source.upsert(object as ModelObject)
  }
  t.equal(attempt(put({ name: '' })), 'name')
  t.equal(attempt(put({ name: 'web', namespace: 7 })), 'namespace')
  t.equal(attempt(put({ kind: 'Deployment', metadata: { name: 'web' } })), 'kind')
  t.equal(attempt(put({ kind: 'Service' })), 'metadata.name')
  const twice = [other, web, { ...web }]
  t.equal(
    attempt(() => {
      source.replaceAll(twice)
    }),
    'objects[2]',
  )
  t.throws(() => new MemorySource([], { history: 0 }))
  t.same(await listed(source), ['Service default/web'])
})

t.test('a watcher that is left behind while it reads is told so, too', async (t) => {
  const source = new MemorySource([], { history: 2 })
  const events: SourceEvent[] = []
  source.upsert(web)
  for await (const event of source.watch('0')) {
    events.push(event)
    for (const name of ['a', 'b', 'c']) source.upsert({ ...web, name })
  }
  t.same(
    events.map(({ event }) => event),
    ['upserted', 'resynchronise'],
  )
})

t.test('the status of a service is written to it, and told', async (t) => {
  const spec = { ports: [{ port: 80 }] }
  const source = new MemorySource([web, { kind: 'Service', metadata: { name: 'front' }, spec }])
  const follower = await Follower.start(source, t)
  const front = { kind: 'Service', namespace: 'default', name: 'front' } as const
  const written = { ingress: [{ ip: '192.0.2.1' }] }
  await source.writeLoadBalancer(front, written)
  await source.writeLoadBalancer({ ...front, name: 'gone' }, written)
  await source.writeLoadBalancer({ ...front, name: 'web' }, written)
  const { objects, revision } = await source.list()
  t.same(objects[1], {
    kind: 'Service',
    metadata: { name: 'front' },
    spec,
    status: { loadBalancer: written },
  })
  t.equal(objects[0], web, 'the short form has no status')
  t.equal(revision, '3')
  await source.writeLoadBalancer(front, written)
  t.equal((await source.list()).revision, '3', 'the same one again is no event')
  follower.stop()
})

t.test('what is wrong at a place is told until it is mended', async (t) => {
  const source = new MemorySource()
  const problem = { severity: 'error', place: 'a', message: 'it is broken' } as const
  source.setProblems('a', [problem])
  source.setProblems('a', [problem])
  t.match(await source.list(), { revision: '1', problems: [problem] })
  source.setProblems('a', [])
  t.match(await source.list(), { revision: '2', problems: [] })
  const events = source.watch('0')
  t.match((await events.next()).value, { event: 'problems', place: 'a', problems: [problem] })
  t.match((await events.next()).value, { event: 'problems', place: 'a', problems: [] })
  await events.return!()
})
