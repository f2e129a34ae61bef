/** What a balancer makes of a source, asks its provider and writes back. */
import { rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { Node, Service } from 'kubernetes-types/core/v1.js'
import t, { type Test } from 'tap'
import { EdgeBalancer, type EdgeBalancerOptions, type LoadBalancerProvider } from '../../src/edge/index.js'
import { KeyedWork } from '../../src/edge/keyed-work.js'
import { ServiceAddresses } from '../../src/edge/service-addresses.js'
import { HealthMonitor } from '../../src/health/index.js'
import type { ModelObject } from '../../src/model/index.js'
import type { ServiceStatus } from '../../src/reconciler/index.js'
import {
  FileSource,
  MemorySource,
  type Source,
  type SourceProblem,
  type StatusWriter,
} from '../../src/sources/index.js'
import { folderFor } from './support/sources.js'

const node = (name: string, number: number, more: object = {}) =>
  ({
    kind: 'Node',
    metadata: { name },
    status: {
      conditions: [{ type: 'Ready', status: 'True' }],
      addresses: [{ type: 'InternalIP', address: `10.0.0.${number}` }],
    },
    ...more,
  }) satisfies Node & { kind: 'Node' }

const service = (name: string, spec: object = {}, more: object = {}) =>
  ({
    kind: 'Service',
    metadata: { name, namespace: 'shop' },
    spec: { type: 'LoadBalancer', ports: [{ port: 80, nodePort: 30080 }], ...spec },
    ...more,
  }) satisfies Service & { kind: 'Service' }

/** Until it is so. */
async function until(isSo: () => unknown, mostMilliseconds = 5000): Promise<void> {
  const end = performance.now() + mostMilliseconds
  while (!(await isSo())) {
    if (performance.now() > end) throw new Error(`it did not come about: ${String(isSo)}`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

/** Takes what a reconciler would take. */
class Taken {
  readonly objects = new Map<string, ModelObject>()
  readonly problems = new Map<string, readonly SourceProblem[]>()
  /** What `status` says. */
  state: ServiceStatus['state'] = 'programmed'
  isListed = false
  upserts = 0
  readonly #end = new AbortController()

  async follow(source: Source): Promise<void> {
    const { signal } = this.#end
    const { objects, revision, problems } = await source.list({ signal })
    for (const object of objects) this.objects.set(nameOf(object), object)
    for (const problem of problems) this.problems.set(problem.place, [problem])
    this.isListed = true
    void this.#watch(source, revision).catch(() => undefined)
  }
  async #watch(source: Source, revision: string): Promise<void> {
    for await (const event of source.watch(revision, { signal: this.#end.signal })) {
      if (event.event === 'upserted') {
        this.upserts++
        this.objects.set(nameOf(event.object), event.object)
      } else if (event.event === 'deleted') this.objects.delete(event.reference.name)
      else if (event.event === 'problems') this.problems.set(event.place, event.problems)
    }
  }
  settled(): Promise<void> {
    return Promise.resolve()
  }
  status(): ServiceStatus {
    return { state: this.state, errors: [], conditions: [] }
  }
  /** `web 192.0.2.1: 10.0.0.1 10.0.0.2*0`. */
  get told(): string[] {
    const all = [...this.objects.values()].flatMap((object) => {
      if ('kind' in object) return []
      const { name, externalAddresses = [], servers = [] } = object
      const list = servers.map((one) =>
        typeof one === 'string' ? one : `${one.address}${one.weight === undefined ? '' : `*${one.weight}`}`,
      )
      return [`${name} ${externalAddresses.join()}: ${list.join(' ')}`]
    })
    return all.sort()
  }
  end(): void {
    this.#end.abort(new Error('over'))
  }
}

function nameOf(object: ModelObject): string {
  return 'kind' in object ? object.metadata!.name! : object.name
}

function start(t: Test, source: Source, options: Partial<EdgeBalancerOptions> = {}) {
  const taken = new Taken()
  const monitor = new HealthMonitor()
  const balancer = new EdgeBalancer({ source, reconciler: taken, monitor, ...options })
  t.teardown(async () => {
    await balancer.close()
    taken.end()
    monitor.close()
  })
  return { taken, balancer, monitor }
}

/** Gives the first address that is free. */
function pool(): LoadBalancerProvider {
  const given: (string | undefined)[] = []
  return {
    ensure: ({ metadata }) => {
      const name = metadata!.name!
      let place = given.indexOf(name)
      if (place === -1) place = given.indexOf(undefined)
      if (place === -1) place = given.length
      given[place] = name
      return Promise.resolve([`192.0.2.${place + 1}`])
    },
    remove: ({ name }) => {
      const place = given.indexOf(name)
      if (place !== -1) given[place] = undefined
      return Promise.resolve()
    },
  }
}
const ingressOf = async (source: Source, name: string) => {
  const { objects } = await source.list()
  const found = objects.find((object) => nameOf(object) === name) as Service | undefined
  return found?.status?.loadBalancer?.ingress?.map(({ ip }) => ip)
}

t.test('services get addresses in the order of their names, and tell them', async (t) => {
  const source = new MemorySource([
    service('b'),
    service('a'),
    service('c', { type: 'NodePort' }),
    { name: 'short', address: '192.0.2.77', ports: [80], servers: ['10.0.0.9'] },
    node('one', 1),
  ])
  const { taken, balancer } = start(t, source, { provider: pool() })
  await until(() => taken.isListed)
  t.same(taken.told, ['a 192.0.2.1: 10.0.0.1', 'b 192.0.2.2: 10.0.0.1'])
  await until(async () => (await ingressOf(source, 'b')) !== undefined)
  t.same(await ingressOf(source, 'a'), ['192.0.2.1'])
  t.same(balancer.addressesOf({ namespace: 'shop', name: 'a' }), ['192.0.2.1'])
  t.same(balancer.problems(), [])

  // What it is not any more it does not say any more, and others get what it had.
  source.upsert({
    ...service('a', { type: 'ClusterIP' }),
    status: { loadBalancer: { ingress: [{ ip: '192.0.2.1' }] } },
  })
  await until(async () => (await ingressOf(source, 'a')) === undefined)
  t.same(taken.told, ['b 192.0.2.2: 10.0.0.1'])
  source.upsert(service('d'))
  await until(() => taken.told.includes('d 192.0.2.1: 10.0.0.1'))
})

t.test('what changes nothing is not told', async (t) => {
  const asked: string[] = []
  const inner = pool()
  const provider: LoadBalancerProvider = {
    ensure: (service) => (asked.push(service.metadata!.name!), inner.ensure(service)),
    remove: (name) => inner.remove(name),
  }
  const source = new MemorySource([service('a'), node('one', 1)])
  const { taken } = start(t, source, { provider })
  await until(async () => (await ingressOf(source, 'a')) !== undefined)
  const heartbeat = (time: string) => {
    const { status, ...rest } = node('one', 1)
    const conditions = status.conditions.map((one) => ({ ...one, lastHeartbeatTime: time as never }))
    return { ...rest, status: { ...status, conditions } }
  }
  source.upsert(heartbeat('2026-01-01T00:00:00Z'))
  const written = (await source.list()).objects.find((one) => nameOf(one) === 'a') as ReturnType<
    typeof service
  >
  source.upsert({ ...written, metadata: { ...written.metadata, resourceVersion: '7' } })
  source.upsert(node('two', 2))
  await until(() => taken.told[0] === 'a 192.0.2.1: 10.0.0.1 10.0.0.2')
  t.equal(taken.upserts, 1)
  t.same(asked, ['a'], 'its own status is no reason to ask again')
})

t.test('a provider that fails or does not answer holds nobody up', async (t) => {
  let isMended = false
  const inner = pool()
  const hanging: AbortSignal[] = []
  const provider: LoadBalancerProvider = {
    ensure: (service, options) => {
      const { name } = service.metadata!
      if (name === 'hangs') return new Promise(() => void hanging.push(options!.signal!))
      if (name === 'fails' && !isMended) return Promise.reject(new Error('no credit'))
      return inner.ensure(service)
    },
    remove: (name) => inner.remove(name),
  }
  const source = new MemorySource([service('web'), node('one', 1)])
  const { taken, balancer } = start(t, source, { provider })
  await until(() => taken.told.length === 1)
  for (const name of ['fails', 'hangs', 'other']) source.upsert(service(name))
  await until(() => taken.told.length === 2)
  t.same(taken.told, ['other 192.0.2.2: 10.0.0.1', 'web 192.0.2.1: 10.0.0.1'])
  await until(() => balancer.problems().length === 2)
  t.match(balancer.problems(), [
    { object: { name: 'fails' }, reason: 'ProviderFailed', message: 'no credit' },
    { object: { name: 'hangs' }, reason: 'NoAnswer' },
  ])
  t.match(taken.problems.get('Service shop/fails'), [{ severity: 'error', message: 'no credit' }])
  isMended = true
  await until(() => taken.told.includes('fails 192.0.2.3: 10.0.0.1'))
  await until(() => balancer.problems().length === 1)
  // One that had an address keeps it.
  isMended = false
  source.upsert(service('fails', { ports: [{ port: 81, nodePort: 30081 }] }))
  await until(() => balancer.problems().length === 2)
  t.ok(taken.told.includes('fails 192.0.2.3: 10.0.0.1'))
  await balancer.close()
  t.match(hanging, [{ aborted: true }])
})

t.test('what is given back goes at once to those that lack it', async (t) => {
  const inner = pool()
  let isFree = false
  const asked: string[] = []
  const provider: LoadBalancerProvider = {
    ensure: (service) => {
      asked.push(service.metadata!.name!)
      const lacks = service.metadata!.name === 'b' && !isFree
      return lacks ? Promise.reject(new Error('none is free')) : inner.ensure(service)
    },
    remove: async (name) => {
      await inner.remove(name)
      isFree = true
    },
  }
  const answers: string[] = []
  const addresses = new ServiceAddresses(provider, (id) => answers.push(id))
  const name = (name: string) => ({ namespace: 'shop', name })
  addresses.set('shop/a', name('a'), service('a'))
  addresses.set('shop/b', name('b'), service('b'))
  await until(() => answers.length === 2)
  t.equal(addresses.errorOf('shop/b')?.message, 'none is free')
  addresses.delete('shop/a')
  // It does not wait until it would be tried again.
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve))
  t.same(asked, ['a', 'b', 'b'])
  t.same(addresses.of('shop/b'), ['192.0.2.1'])
  t.equal(addresses.of('shop/a'), undefined)
  addresses.close()
})

t.test('what an earlier process programmed is not taken for unwanted before all have answered', async (t) => {
  let answer: (addresses: string[]) => void = () => undefined
  const provider: LoadBalancerProvider = {
    ensure: () => new Promise((resolve) => (answer = resolve)),
    remove: () => Promise.resolve(),
  }
  const { taken } = start(t, new MemorySource([service('web'), node('one', 1)]), { provider })
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
  t.notOk(taken.isListed)
  answer(['192.0.2.1'])
  await until(() => taken.isListed)
  t.same(taken.told, ['web 192.0.2.1: 10.0.0.1'])
})

t.test('one that never answers holds a start up for five seconds', async (t) => {
  const inner = pool()
  const provider: LoadBalancerProvider = {
    ensure: (service) =>
      service.metadata!.name === 'hangs' ? new Promise(() => undefined) : inner.ensure(service),
    remove: () => Promise.resolve(),
  }
  const source = new MemorySource([service('hangs'), service('web'), node('one', 1)])
  const { taken } = start(t, source, { provider })
  await until(() => taken.isListed, 10_000)
  t.same(taken.told, ['web 192.0.2.1: 10.0.0.1'])
  // So a reconciler takes away nothing that it does not know.
  t.match(taken.problems.get('Service shop/hangs'), [{ severity: 'error' }])
})

t.test('status is written when the service is programmed, and again where that failed', async (t) => {
  const inner = new MemorySource([service('web'), node('one', 1)])
  const writes: string[] = []
  let fails = 1
  const status: StatusWriter = {
    writeLoadBalancer: async (reference, written) => {
      writes.push(`${reference.namespace}/${reference.name} ${written.ingress?.map(({ ip }) => ip).join()}`)
      if (fails-- > 0) throw new Error('not now')
      return inner.writeLoadBalancer(reference, written)
    },
  }
  const { taken, balancer } = start(t, inner, { provider: pool(), status })
  taken.state = 'pending'
  await until(() => balancer.problems().length > 0)
  t.match(balancer.problems(), [{ reason: 'StatusNotWritten', message: /it is pending/ }])
  t.same(writes, [])
  taken.state = 'programmed'
  await until(() => writes.length === 2)
  t.same(writes, ['shop/web 192.0.2.1', 'shop/web 192.0.2.1'])
  await until(() => balancer.problems().length === 0)
  // What somebody else writes there is not what clients reach.
  inner.upsert(service('web', {}, { status: { loadBalancer: { ingress: [{ ip: '203.0.113.1' }] } } }))
  await until(() => writes.length === 3)
  await until(async () => String(await ingressOf(inner, 'web')) === '192.0.2.1')
})

t.test('without a provider the addresses are those that somebody else has written', async (t) => {
  const source = new MemorySource([
    service('web', {}, { status: { loadBalancer: { ingress: [{ ip: '198.51.100.1' }] } } }),
    service('none'),
    node('one', 1),
  ])
  const { taken, balancer } = start(t, source)
  await until(() => taken.isListed)
  t.same(taken.told, ['web 198.51.100.1: 10.0.0.1'])
  t.match(balancer.problems(), [{ object: { name: 'none' }, reason: 'NoAddress' }])
  t.match(taken.problems.get('Service shop/none'), [{ severity: 'note' }])
  source.upsert(service('web', {}, { status: { loadBalancer: { ingress: [{ ip: '198.51.100.2' }] } } }))
  await until(() => taken.told[0] === 'web 198.51.100.2: 10.0.0.1')
})

t.test('services and nodes from files, whose status goes elsewhere', async (t) => {
  const folder = await folderFor(t)
  const write = (name: string, object: object) => writeFile(path.join(folder, name), JSON.stringify(object))
  await write('one.json', { apiVersion: 'v1', ...node('one', 1) })
  await write('two.json', { apiVersion: 'v1', ...node('two', 2) })
  await write('web.json', { apiVersion: 'v1', ...service('web') })
  const written: string[] = []
  const status: StatusWriter = {
    writeLoadBalancer: ({ name }, { ingress = [] }) => {
      written.push(`${name} ${ingress.map(({ ip }) => ip).join()}`)
      return Promise.resolve()
    },
  }
  const source = new FileSource(folder, { quietMilliseconds: 5 })
  const { taken } = start(t, source, { provider: pool(), status })
  await until(() => taken.isListed)
  t.same(taken.told, ['web 192.0.2.1: 10.0.0.1 10.0.0.2'])
  await until(() => written.length === 1)
  // A file that is broken takes nothing away, and what is wrong with it is told where sources tell it.
  await writeFile(path.join(folder, 'two.json'), '{ "kind": "Node", ')
  await until(() => [...taken.problems.keys()].some((place) => place.endsWith('two.json')))
  t.same(taken.told, ['web 192.0.2.1: 10.0.0.1 10.0.0.2'])
  await write('two.json', { apiVersion: 'v1', ...node('two', 3) })
  await until(() => taken.told[0] === 'web 192.0.2.1: 10.0.0.1 10.0.0.3')
  await until(() => [...taken.problems].every(([, problems]) => problems.length === 0))
  await rm(path.join(folder, 'one.json'))
  await until(() => taken.told[0] === 'web 192.0.2.1: 10.0.0.3')
  t.same(written, ['web 192.0.2.1'])
})

t.test('others’ services are left to them, and one that cannot be looked at stays', async (t) => {
  let isBroken = false
  const selects = ({ spec }: Service) => {
    if (isBroken) throw new Error('broken')
    return spec?.loadBalancerClass === undefined
  }
  const source = new MemorySource([
    service('ours'),
    service('theirs', { loadBalancerClass: 'example.com/lb' }),
    node('one', 1),
  ])
  const { taken, balancer } = start(t, source, { provider: pool(), selects })
  await until(() => taken.isListed)
  t.same(taken.told, ['ours 192.0.2.1: 10.0.0.1'])
  isBroken = true
  source.upsert(service('ours', { loadBalancerClass: 'example.com/lb' }))
  await until(() => balancer.problems().length === 1)
  t.match(balancer.problems(), [{ object: { name: 'ours' }, reason: 'Invalid', message: /broken/ }])
  t.equal(taken.told.length, 1)
  isBroken = false
  source.upsert(service('ours', { loadBalancerClass: 'example.com/other' }))
  await until(() => taken.told.length === 0)
  t.same(balancer.problems(), [])
})

t.test('checks that are none are refused at once', (t) => {
  const monitor = new HealthMonitor()
  const make = (): EdgeBalancer =>
    new EdgeBalancer({
      source: new MemorySource(),
      reconciler: new Taken(),
      monitor,
      nodeChecks: { rules: { fall: 0 } },
    })
  t.throws(make, { name: 'ValidationError', path: 'fall' })
  t.same(monitor.keys(), [])
  monitor.close()
  t.end()
})

t.test(
  'work for one key is never done twice at once, and what was forgotten is not tried again',
  async (t) => {
    let running = 0
    let most = 0
    let done = 0
    const gates: (() => void)[] = []
    const work = new KeyedWork({
      deadlineMilliseconds: 1000,
      answered: () => {
        done++
      },
      work: async () => {
        most = Math.max(most, ++running)
        await new Promise<void>((resolve) => gates.push(resolve))
        running--
      },
    })
    work.request('a')
    work.request('a')
    await until(() => gates.length === 1)
    work.forget('a')
    work.request('a')
    gates[0]!()
    await until(() => gates.length === 2)
    gates[1]!()
    await until(() => done === 2)
    t.equal(most, 1)
    t.notOk(work.isOpen('a'))

    // No more than sixteen at once, in their order.
    for (let index = 0; index < 40; index++) work.request(`many ${index}`)
    await until(() => gates.length === 18)
    t.equal(running, 16)
    while (done < 42) {
      gates.at(-1)!()
      for (const open of gates) open()
      await new Promise((resolve) => setImmediate(resolve))
    }
    t.equal(most, 16)
    work.close()

    let attempts = 0
    const failing = new KeyedWork({
      deadlineMilliseconds: 20,
      answered: () => undefined,
      work: () => (attempts++ === 0 ? Promise.reject(new Error('first')) : new Promise(() => undefined)),
    })
    failing.request('b')
    await until(() => failing.errorOf('b')?.message === 'first')
    await until(() => failing.errorOf('b')?.message === 'no answer within 20 ms')
    failing.forget('b')
    t.equal(failing.errorOf('b'), undefined)
    failing.close()
  },
)
