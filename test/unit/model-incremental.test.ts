import fc from 'fast-check'
import t from 'tap'
import {
  formatChange,
  type ModelObject,
  type ObjectReference,
  ServiceModel,
  type VirtualService,
} from '../../src/model/index.js'
import { endpoint, node, pod, service, slice } from './model-objects.js'

/** A few names and addresses, so that objects meet. */
const name = fc.constantFrom('s0', 's1', 's2', 's3')
const address = fc.constantFrom('10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4')
const zone = fc.constantFrom('x', 'y', undefined)

const anyService = fc
  .record({
    name,
    created: fc.constantFrom('2024-01-01T00:00:00Z', '2024-01-02T00:00:00Z', '2023-01-01T00:00:00Z'),
    clusterIPs: fc.constantFrom(
      ['10.96.0.1'],
      ['10.96.0.2'],
      ['10.96.0.3', 'fd00::3'],
      ['fd00::4'],
      ['None'],
    ),
    externalIPs: fc.constantFrom([], ['192.0.2.1'], ['192.0.2.1', '2001:db8::1']),
    port: fc.constantFrom(80, 81),
    targetPort: fc.constantFrom(8080, 'app'),
    nodePort: fc.constantFrom(undefined, 30_001, 30_002),
    local: fc.boolean(),
    selects: fc.constantFrom(undefined, 'a', 'b'),
    distribution: fc.constantFrom(undefined, 'PreferClose'),
  })
  .map((one) =>
    service(
      {
        type: 'NodePort',
        clusterIPs: one.clusterIPs,
        externalIPs: one.externalIPs,
        ports: [{ name: 'p', port: one.port, targetPort: one.targetPort, nodePort: one.nodePort }],
        internalTrafficPolicy: one.local ? 'Local' : 'Cluster',
        trafficDistribution: one.distribution,
        selector: one.selects && { app: one.selects },
      },
      { name: one.name, metadata: { creationTimestamp: one.created } },
    ),
  )

const anyEndpoint = fc
  .record({
    address,
    node: fc.constantFrom('a', 'b', undefined),
    ready: fc.boolean(),
    serving: fc.boolean(),
    terminating: fc.boolean(),
    zone,
  })
  .map((one) =>
    endpoint(
      one.address,
      one.node,
      { ready: one.ready, serving: one.serving, terminating: one.terminating },
      one.zone === undefined ? {} : { hints: { forZones: [{ name: one.zone }] } },
    ),
  )

const anySlice = fc
  .record({
    name: fc.constantFrom('e0', 'e1', 'e2'),
    of: name,
    endpoints: fc.array(anyEndpoint, { maxLength: 4 }),
    port: fc.constantFrom(8080, 9090),
  })
  .map((one) => slice(one.endpoints, { name: one.name, of: one.of, ports: [{ name: 'p', port: one.port }] }))

const anyPod = fc
  .record({
    name: fc.constantFrom('p0', 'p1', 'p2', 'p3'),
    address,
    app: fc.constantFrom('a', 'b', 'c'),
    ready: fc.boolean(),
    node: fc.constantFrom('a', 'b'),
    port: fc.constantFrom(7070, 7071),
    weight: fc.constantFrom(undefined, '0', '3', 'x'),
  })
  .map((one) =>
    pod(one.name, [one.address, `fd00:1::${one.address.at(-1)!}`], {
      ready: one.ready,
      metadata: {
        name: one.name,
        namespace: 'default',
        labels: { app: one.app },
        annotations: one.weight === undefined ? {} : { 'viaduct/weight': one.weight },
      },
      spec: { nodeName: one.node, containers: [{ ports: [{ name: 'app', containerPort: one.port }] }] },
    }),
  )

const anyNode = fc.record({ name: fc.constantFrom('a', 'b'), zone }).map((one) => node(one.name, one.zone))

/** An object that is none, under the name of one that may be there. */
const anyBad = fc.oneof(
  name.map((one) => service({ ports: [{ port: 0 }] }, { name: one })),
  fc.constantFrom('e0', 'e1').map((one) => slice([endpoint('x')], { name: one })),
  fc.constantFrom('p0', 'p1').map((one) => pod(one, 'x')),
)

const anyObject = fc.oneof(
  { weight: 4, arbitrary: anyService },
  { weight: 4, arbitrary: anySlice },
  { weight: 4, arbitrary: anyPod },
  { weight: 1, arbitrary: anyNode },
  { weight: 1, arbitrary: anyBad },
)

function referenceOf(object: ModelObject): ObjectReference {
  if (!('kind' in object)) throw new Error('not in this test')
  const { kind, metadata } = object as { kind: ObjectReference['kind']; metadata: { name: string } }
  return kind === 'Node' ? { kind, name: metadata.name } : { kind, namespace: 'default', name: metadata.name }
}

type Step =
  | { readonly do: 'upsert'; readonly object: ModelObject }
  | { readonly do: 'delete'; readonly of: ModelObject }
  | { readonly do: 'replace'; readonly objects: readonly ModelObject[] }
  | { readonly do: 'take' }

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 12, arbitrary: anyObject.map((object): Step => ({ do: 'upsert', object })) },
  { weight: 4, arbitrary: anyObject.map((of): Step => ({ do: 'delete', of })) },
  {
    weight: 1,
    arbitrary: fc.array(anyObject, { maxLength: 8 }).map((objects): Step => ({ do: 'replace', objects })),
  },
  { weight: 5, arbitrary: fc.constant<Step>({ do: 'take' }) },
)

function sorted(services: Iterable<VirtualService>): VirtualService[] {
  return [...services].sort((a, b) => (a.key < b.key ? -1 : 1))
}

/** What a dataplane has that does what it is told. */
class Follower {
  readonly services = new Map<string, VirtualService>()
  readonly problems = new Map<string, string>()

  follow(model: ServiceModel): void {
    const { upserted, deleted, previous, problems, solved } = model.take()
    const keys = [...upserted.map(({ key }) => key), ...deleted]
    if (new Set(keys).size !== keys.length) throw new Error('told twice')
    for (const key of deleted) {
      if (!this.services.has(key)) throw new Error(`${key} was not there`)
    }
    for (const key of keys) {
      if (JSON.stringify(this.services.get(key)) !== JSON.stringify(previous.get(key)))
        throw new Error(`${key} was another one before`)
    }
    for (const key of deleted) this.services.delete(key)
    for (const one of upserted) {
      if (JSON.stringify(this.services.get(one.key)) === JSON.stringify(one))
        throw new Error(`${one.key} is the same`)
      this.services.set(one.key, one)
    }
    const keyOf = ({ kind, name: of }: ObjectReference) => `${kind} ${of}`
    for (const { object } of problems) this.problems.delete(keyOf(object))
    for (const { object, message } of problems) {
      this.problems.set(keyOf(object), `${this.problems.get(keyOf(object)) ?? ''}${message}\n`)
    }
    for (const object of solved) this.problems.delete(keyOf(object))
  }
}

void t.test(
  'what comes bit by bit is what comes at once, in any order, and what is told adds up to it',
  async (t) => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), fc.infiniteStream(fc.nat()), (steps, order) => {
        const options = { nodeName: 'a' }
        const model = new ServiceModel(options)
        const follower = new Follower()
        /** The last good version of each object, and a bad one that came after it. */
        const good = new Map<string, ModelObject>()
        const bad = new Map<string, ModelObject>()
        const keep = (object: ModelObject, isGood: boolean) => {
          const key = JSON.stringify(referenceOf(object))
          if (!isGood) bad.set(key, object)
          else {
            good.set(key, object)
            bad.delete(key)
          }
        }
        const judge = (object: ModelObject) => new ServiceModel(options).upsert(object) === undefined
        for (const one of steps) {
          if (one.do === 'take') follower.follow(model)
          else if (one.do === 'upsert') {
            keep(one.object, model.upsert(one.object) === undefined)
          } else if (one.do === 'delete') {
            model.delete(referenceOf(one.of))
            good.delete(JSON.stringify(referenceOf(one.of)))
            bad.delete(JSON.stringify(referenceOf(one.of)))
          } else {
            model.replaceAll(one.objects)
            const given = new Set(one.objects.map((object) => JSON.stringify(referenceOf(object))))
            for (const key of good.keys()) if (!given.has(key)) good.delete(key)
            for (const key of bad.keys()) if (!given.has(key)) bad.delete(key)
            for (const object of one.objects) keep(object, judge(object))
          }
        }
        follower.follow(model)
        const fresh = new ServiceModel(options)
        const shuffled = [...good.values()]
          .map((object) => ({ object, place: order.next().value as number }))
          .sort((a, b) => a.place - b.place)
        for (const { object } of shuffled) fresh.upsert(object)
        for (const object of bad.values()) fresh.upsert(object)
        const now = JSON.stringify(sorted(model.virtualServices()))
        const problems = (of: ServiceModel) =>
          JSON.stringify(
            of
              .problems()
              .map(({ object, message }) => `${object.kind} ${object.name} ${message}`)
              .sort(),
          )
        if (now !== JSON.stringify(sorted(fresh.virtualServices())))
          throw new Error('not what a fresh one has')
        if (problems(model) !== problems(fresh))
          throw new Error(`problems ${problems(model)} ${problems(fresh)}`)
        if (now !== JSON.stringify(sorted(follower.services.values()))) throw new Error('not what was told')
        const told = [...follower.problems].map(([, text]) => text).sort()
        const bare = new Map<string, string>()
        for (const { object, message } of model.problems()) {
          const key = `${object.kind} ${object.name}`
          bare.set(key, `${bare.get(key) ?? ''}${message}\n`)
        }
        if (JSON.stringify(told) !== JSON.stringify([...bare.values()].sort()))
          throw new Error('problems told')
        const frontends = [...model.virtualServices()].flatMap((one) =>
          one.frontends.map((frontend) =>
            JSON.stringify([
              frontend.kind === 'node-port' ? one.family : frontend.address,
              frontend.port,
              one.protocol,
            ]),
          ),
        )
        if (new Set(frontends).size !== frontends.length) throw new Error('two have the same frontend')
      }),
      { numRuns: 3000, seed: 7 },
    )
    t.pass()
  },
)

void t.test('with picks, too, what is told adds up, and nothing is given twice', async (t) => {
  const input = fc.record({
    name,
    type: fc.constantFrom('ClusterIP', 'NodePort'),
    given: fc.constantFrom(undefined, '10.96.0.1', '10.96.0.2'),
  })
  const own = fc.oneof(
    input.map((one): Step => ({
      do: 'upsert',
      object: service({ type: one.type, clusterIP: one.given, ports: [{ port: 80 }] }, { name: one.name }),
    })),
    name.map((one): Step => ({ do: 'delete', of: service({}, { name: one }) })),
    fc.constant<Step>({ do: 'take' }),
  )
  fc.assert(
    fc.property(fc.array(own, { maxLength: 30 }), (steps) => {
      const model = new ServiceModel({
        allocate: { clusterRanges: ['10.96.0.0/30'], nodePorts: '30000-30001' },
      })
      const follower = new Follower()
      let stays = new Map<string, string>()
      for (const one of steps) {
        if (one.do === 'upsert') model.upsert(one.object)
        else if (one.do === 'delete') model.delete(referenceOf(one.of))
        else follower.follow(model)
        const held = [...model.virtualServices()].flatMap((of) =>
          of.frontends.map((frontend) => JSON.stringify(frontend)),
        )
        if (new Set(held).size !== held.length) throw new Error('given twice')
        const picks = new Map(model.allocations().map((of) => [of.service, of.clusterAddresses.join()]))
        for (const [id, before] of stays) {
          const after = picks.get(id)
          if (before !== '' && after !== undefined && after !== '' && after !== before)
            throw new Error('a pick moved')
        }
        stays = picks
      }
      follower.follow(model)
      if (
        JSON.stringify(sorted(model.virtualServices())) !== JSON.stringify(sorted(follower.services.values()))
      ) {
        throw new Error('not what was told')
      }
      // Whoever lacks something says so, and lacks it because nothing is left.
      const lacking = model.problems().some(({ reason }) => reason === 'RangeExhausted')
      const used = new Set([...model.services()].flatMap((one) => one.service.clusterAddresses))
      const ports = new Set(
        [...model.services()].flatMap((one) => one.service.ports.map(({ nodePort }) => nodePort)),
      )
      ports.delete(undefined)
      if (lacking && used.size < 2 && ports.size < 2) throw new Error('something is free')
    }),
    { numRuns: 2000, seed: 7 },
  )
  t.pass()
})

void t.test('a change prints as a line for each virtual service', async (t) => {
  const model = new ServiceModel({ nodeName: 'a' })
  t.equal(formatChange(model.take()), '')
  const at = (more: object) =>
    service({ type: 'NodePort', clusterIP: '10.96.0.7', ports: [{ port: 80, nodePort: 30_001 }], ...more })
  const ports = [{ port: 8080 }]
  model.upsert(at({}))
  model.upsert(
    service(
      { clusterIP: 'fd00::7', ports: [{ port: 53, protocol: 'UDP' }], sessionAffinity: 'ClientIP' },
      { name: 'dns' },
    ),
  )
  model.upsert(slice([endpoint('10.0.0.1', 'b'), endpoint('10.0.0.2', 'a')], { ports }))
  t.equal(
    formatChange(model.take()),
    [
      '+ default/dns:53/udp/ipv6: [fd00::7]:53 -> nobody; affinity 10800 s',
      '+ default/web:80/tcp/ipv4: 10.96.0.7:80, *:30001 -> 10.0.0.1:8080, 10.0.0.2:8080',
    ].join('\n'),
  )
  model.delete({ kind: 'Service', name: 'dns' })
  model.upsert(
    at({
      externalIPs: ['192.0.2.1'],
      externalTrafficPolicy: 'Local',
      type: 'ClusterIP',
      ports: [{ port: 80 }],
    }),
  )
  model.upsert(
    slice([endpoint('10.0.0.1', 'b', { ready: false, terminating: true }), endpoint('10.0.0.3', 'a')], {
      ports,
    }),
  )
  const change = model.take()
  t.equal(
    formatChange(change),
    [
      '- default/dns:53/udp/ipv6',
      '~ default/web:80/tcp/ipv4: +192.0.2.1:80 (external); -*:30001; servers +10.0.0.3:8080 -10.0.0.1:8080 -10.0.0.2:8080; ' +
        'local +10.0.0.3:8080 -10.0.0.2:8080; draining +10.0.0.1:8080; external policy none => local',
    ].join('\n'),
  )
  t.match(
    formatChange({ upserted: change.upserted, deleted: [] }),
    /^\+ default\/web/,
    'without what was before, all is new',
  )
  model.upsert(slice([endpoint('10.0.0.3', 'b')], { ports }))
  t.match(
    formatChange(model.take()),
    /servers ~10\.0\.0\.3:8080; local -10\.0\.0\.3:8080; draining -10\.0\.0\.1:8080$/,
  )
  const [web] = [...model.virtualServices()]
  const lost = { ...web!, servers: { ...web!.servers, cluster: [], failed: web!.servers.cluster } }
  t.match(
    formatChange({ upserted: [lost], deleted: [] }, new Map([[web!.key, web!]])),
    /servers -10\.0\.0\.3:8080; failed \+10\.0\.0\.3:8080$/,
  )
  t.match(formatChange({ upserted: [lost], deleted: [] }), /-> nobody; .*failed 10\.0\.0\.3:8080$/)
  model.delete({ kind: 'EndpointSlice', name: 'web-1' })
  t.match(formatChange(model.take()), /no server is there: refused$/)
})
