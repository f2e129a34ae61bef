import fc from 'fast-check'
import t from 'tap'
import { prefixContains } from '../../src/address/index.js'
import {
  type AllocateOptions,
  type Allocation,
  type ServiceInput,
  ServiceModel,
} from '../../src/model/index.js'
import {
  addressAt,
  bandOf,
  pickPlace,
  rangeContains,
  readClusterRange,
  readPoolRange,
} from '../../src/model/address-range.js'
import { Claims } from '../../src/model/claims.js'
import { frontends, lines, service, web } from './model-objects.js'

const ports = [{ port: 80 }]

function modelWith(allocate: AllocateOptions, more: { allocations?: Allocation[] } = {}) {
  return new ServiceModel({ allocate, ...more })
}

function nodePorts(model: ServiceModel): number[] {
  return [...model.virtualServices()].flatMap((one) =>
    one.frontends.flatMap((frontend) => (frontend.kind === 'node-port' ? [frontend.port] : [])),
  )
}

void t.test('the lower bands', async (t) => {
  // What the references give for ranges of these sizes.
  t.same(
    [16, 17, 32, 256, 512, 4096, 8192].map((size) => bandOf(size, 16, 16, 256)),
    [0, 16, 16, 16, 32, 256, 256],
  )
  t.same(
    [16, 100, 1024, 2768, 65535].map((size) => bandOf(size, 16, 32, 128)),
    [0, 16, 32, 86, 128],
  )
  const range = readClusterRange('10.96.0.0/24', 'r')
  t.equal(addressAt(range, 0), '10.96.0.1', "the first one is no service's")
  t.equal(addressAt(range, range.lowerBand), '10.96.0.16')
  t.equal(addressAt(range, range.size - 1), '10.96.0.254')
  t.equal(readClusterRange('10.96.0.5/32', 'r').size, 1)
  const wide = readClusterRange('fd00::/64', 'r')
  t.equal(addressAt(wide, 0), 'fd00::1')
  t.equal(addressAt(wide, wide.lowerBand), 'fd00::100')
  t.ok(rangeContains(wide, 'fd00::1:0'))
  t.notOk(rangeContains(wide, '10.96.0.1'))
  const pool = readPoolRange('192.0.2.10-192.0.2.12', 'p')
  t.same(
    [0, 1, 2].map((place) => addressAt(pool, place)),
    ['192.0.2.10', '192.0.2.11', '192.0.2.12'],
  )
  t.equal(pool.size, 3)
  t.equal(addressAt(readPoolRange('192.0.2.7', 'p'), 0), '192.0.2.7')
  for (const text of ['192.0.2.12-192.0.2.10', '192.0.2.1-fd00::1', 'a-b', '192.0.2.0/33', '192.0.2.1-']) {
    t.throws(() => readPoolRange(text, 'p'), { code: 'ERR_VIADUCT_VALIDATION', path: 'p' }, text)
  }
})

void t.test(
  'every place is found, the upper ones first, and no more places are asked than needed',
  async (t) => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 60 }),
        fc.integer({ min: 0, max: 20 }),
        fc.array(fc.string(), { minLength: 1, maxLength: 80 }),
        (size, wantedBand, seeds) => {
          const band = Math.min(wantedBand, size - 1)
          const held = new Set<number>()
          for (const seed of seeds) {
            const place = pickPlace(size, band, seed, (one) => !held.has(one), held.size)
            if (held.size === size) return place === undefined
            if (place === undefined || held.has(place) || place >= size) return false
            if (place < band && held.size < size - band) return false
            held.add(place)
          }
          return true
        },
      ),
    )
    t.pass()
  },
)

void t.test('cluster addresses are picked of the upper part, and stay', async (t) => {
  const model = modelWith({ clusterRanges: ['10.96.0.0/24', 'fd00:96::/112'] })
  model.upsert(service({ ports }, { name: 'one' }))
  model.upsert(service({ ports, ipFamilyPolicy: 'PreferDualStack' }, { name: 'two' }))
  model.upsert(service({ ports, ipFamilies: ['IPv6'] }, { name: 'six' }))
  model.upsert(
    service({ ports, clusterIP: '10.96.0.3', ipFamilyPolicy: 'RequireDualStack' }, { name: 'given' }),
  )
  model.upsert(service({ ports, clusterIP: 'None' }, { name: 'headless' }))
  model.upsert(service({ ports, externalName: 'a.b', type: 'ExternalName' }, { name: 'away' }))
  t.same(model.take().problems, [])
  const first = frontends(model)
  t.same(Object.keys(first).sort(), [
    'default/given:80/tcp/ipv4',
    'default/given:80/tcp/ipv6',
    'default/one:80/tcp/ipv4',
    'default/six:80/tcp/ipv6',
    'default/two:80/tcp/ipv4',
    'default/two:80/tcp/ipv6',
  ])
  t.same(first['default/given:80/tcp/ipv4'], ['cluster:10.96.0.3:80'])
  for (const one of model.services()) {
    for (const address of one.service.clusterAddresses) {
      if (address === '10.96.0.3') continue
      const isUpper = address.includes(':')
        ? Number.parseInt(address.split(':').at(-1)!, 16) >= 256
        : Number(address.split('.')[3]) >= 16
      t.ok(isUpper, address)
    }
  }
  model.upsert(service({ ports: [{ port: 81 }] }, { name: 'one' }))
  const moved = frontends(model)['default/one:81/tcp/ipv4']
  t.same(moved, [first['default/one:80/tcp/ipv4']![0]!.replace(/80$/, '81')], 'the address is as before')
})

void t.test('what is given is claimed before anything is picked', async (t) => {
  const range = ['10.96.0.0/30']
  for (const order of [0, 1]) {
    const objects = [
      service({ ports }, { name: 'picks' }),
      service({ ports, clusterIP: '10.96.0.1' }, { name: 'zz' }),
    ]
    const model = modelWith({ clusterRanges: range })
    model.replaceAll(order === 0 ? objects : objects.reverse())
    t.same(frontends(model), {
      'default/zz:80/tcp/ipv4': ['cluster:10.96.0.1:80'],
      'default/picks:80/tcp/ipv4': ['cluster:10.96.0.2:80'],
    })
  }
})

void t.test('a full range is told, and whoever waits gets what becomes free', async (t) => {
  const model = modelWith({ clusterRanges: ['10.96.0.0/30'] })
  for (const name of ['c', 'b', 'a']) model.upsert(service({ ports }, { name }))
  t.same(lines(model.take().problems), [
    'Service c: RangeExhausted: no cluster address (ipv4) is free in 10.96.0.0/30',
  ])
  t.equal([...model.virtualServices()].length, 2)
  model.delete({ kind: 'Service', name: 'a' })
  const change = model.take()
  t.same(change.deleted, ['default/a:80/tcp/ipv4'])
  t.same(
    change.upserted.map(({ key }) => key),
    ['default/c:80/tcp/ipv4'],
  )
  t.same(change.solved, [{ kind: 'Service', namespace: 'default', name: 'c' }])
})

void t.test('an address that is held, or out of the ranges', async (t) => {
  const model = modelWith({ clusterRanges: ['10.96.0.0/24'] })
  model.upsert(service({ ports, clusterIP: '10.96.0.9' }, { name: 'first' }))
  model.upsert(service({ ports: [{ port: 81 }], clusterIP: '10.96.0.9' }, { name: 'second' }))
  t.same(lines(model.take().problems), [
    'Service second: AddressTaken: 10.96.0.9 is held by the service default/first',
  ])
  const problem = model.upsert(service({ ports, clusterIP: '10.97.0.9' }, { name: 'third' }))
  t.match(problem?.error, { path: 'spec.clusterIP', value: '10.97.0.9' })
  const stored = service(
    { ports: [{ port: 80, nodePort: 99 }], clusterIP: '10.97.0.9' },
    { name: 'stored', metadata: { uid: '1' } },
  )
  t.equal(model.upsert(stored), undefined, 'an API server has seen to it')
  t.equal(model.upsert({ name: 'vip', address: '192.0.2.1', ports: [80], servers: [] }), undefined)
  t.equal(frontends(model)['default/stored:80/tcp/ipv4']?.length, 2)
})

void t.test('nobody takes away what was picked', async (t) => {
  const model = modelWith({ clusterRanges: ['10.96.0.0/31'] })
  model.upsert(service({ ports }, { name: 'picks' }))
  const picked = [...model.virtualServices()][0]!.frontends[0]!
  const clusterIP = picked.kind === 'cluster' ? picked.address : ''
  model.upsert(
    service({ ports, clusterIP }, { name: 'older', metadata: { creationTimestamp: '2000-01-01T00:00:00Z' } }),
  )
  t.match(
    lines(model.take().problems)[0],
    /^Service older: AddressTaken: 10\.96\.0\.\d is held by the service default\/picks$/,
  )
})

void t.test('node ports: picked, given, held, out of range', async (t) => {
  const model = modelWith({ clusterRanges: ['10.96.0.0/24'] })
  model.upsert(
    service(
      {
        type: 'NodePort',
        ports: [
          { name: 'a', port: 80 },
          { name: 'b', port: 81 },
        ],
      },
      { name: 'two' },
    ),
  )
  const [a, b] = nodePorts(model)
  for (const port of [a!, b!]) t.ok(port >= 30_086 && port <= 32_767, `${port} is in the upper part`)
  t.not(a, b)
  model.upsert(service({ type: 'NodePort', ports: [{ port: 80, nodePort: a }] }, { name: 'late' }))
  t.same(lines(model.take().problems), [
    `Service late: NodePortTaken: the node port ${a!}/tcp is held by the service default/two`,
  ])
  model.upsert(
    service({ type: 'NodePort', ports: [{ port: 80, nodePort: a, protocol: 'UDP' }] }, { name: 'udp' }),
  )
  t.same(model.take().problems, [], 'another protocol is another port')
  for (const nodePort of [29_999, 32_768]) {
    const problem = model.upsert(
      service({ type: 'NodePort', ports: [{ port: 80, nodePort }] }, { name: 'out' }),
    )
    t.match(problem?.error, {
      path: 'spec.ports[0].nodePort',
      value: nodePort,
      expected: 'a port from 30000 to 32767',
    })
    const short: ServiceInput = { name: 'short', ports: [{ port: 80, nodePort }], servers: [] }
    t.match(model.upsert(short)?.error, { path: 'ports[0].nodePort' })
  }
  const wide = modelWith({ nodePorts: '1-65535' })
  t.equal(
    wide.upsert({ name: 'short', ports: [{ port: 80, nodePort: 443 }], servers: ['10.0.0.1'] }),
    undefined,
  )
  t.same(frontends(wide), { 'default/short:80/tcp/ipv4': ['node-port:443'] })
  for (const range of ['0-10', '10-5', 'x', '1-65536', '']) {
    t.throws(
      () => modelWith({ nodePorts: range }),
      { code: 'ERR_VIADUCT_VALIDATION', path: 'allocate.nodePorts' },
      range,
    )
  }
})

void t.test(
  'a node port is picked without being told to, in the short form; and none that is left',
  async (t) => {
    const model = new ServiceModel()
    model.upsert({
      name: 'web',
      address: '192.0.2.1',
      ports: [{ port: 80, nodePort: true }],
      servers: ['10.0.0.1'],
    })
    t.equal(nodePorts(model).length, 1)
    model.upsert(service({ type: 'NodePort', clusterIP: '10.96.0.1', ports }, { name: 'taken-as-it-is' }))
    t.equal(nodePorts(model).length, 1)
    const narrow = modelWith({ nodePorts: '31000' })
    const input = (name: string): ServiceInput => ({
      name,
      address: '192.0.2.1',
      ports: [{ port: name.length, nodePort: true }],
      servers: [],
    })
    narrow.replaceAll([input('a'), input('bb')])
    t.same(lines(narrow.take().problems), ['Service bb: RangeExhausted: no node port is free in 31000-31000'])
    narrow.delete({ kind: 'Service', name: 'a' })
    narrow.take()
    t.same(nodePorts(narrow), [31_000], 'freed')
  },
)

void t.test('a port that a process listens on is not used', async (t) => {
  const asked: number[] = []
  let listening = new Map([[30_500, 'sshd']])
  const model = new ServiceModel({
    allocate: { nodePorts: '30500-30501' },
    isPortTaken: (port) => {
      asked.push(port)
      return listening.get(port)
    },
  })
  const at = (nodePort: number | true, scheduler?: string): ServiceInput => ({
    name: 'web',
    address: '192.0.2.1',
    ports: [{ port: 80, nodePort }],
    servers: [],
    scheduler,
  })
  model.upsert(at(30_500))
  t.same(lines(model.take().problems), [
    'Service web: NodePortInUse: the node port 30500/tcp is in use on this host: sshd listens on it',
  ])
  t.same(nodePorts(model), [])
  model.upsert(at(true))
  t.same(nodePorts(model), [30_501])
  model.upsert(at(30_501))
  asked.length = 0
  listening = new Map([[30_501, 'viaduct']])
  model.upsert(at(30_501, 'rr'))
  t.same([nodePorts(model), asked], [[30_501], []], 'what it has it is not asked about again')
})

void t.test("load balancers' addresses come from pools", async (t) => {
  const pools = { inside: ['192.0.2.10-192.0.2.11'], outside: ['198.51.100.0/30', '2001:db8::/126'] }
  const model = modelWith({ clusterRanges: ['10.96.0.0/24'], pools })
  const balanced = (name: string, annotations: object = {}, spec: object = {}) =>
    service(
      { type: 'LoadBalancer', allocateLoadBalancerNodePorts: false, ports, ...spec },
      { name, metadata: { annotations } },
    )
  const addressOf = (name: string) =>
    [...model.virtualServices()]
      .filter((one) => one.service === `default/${name}`)
      .flatMap((one) =>
        one.frontends.flatMap((frontend) => (frontend.kind === 'load-balancer' ? [frontend.address] : [])),
      )
  model.upsert(balanced('a', { 'viaduct/pool': 'inside' }))
  model.upsert(balanced('b', {}, { loadBalancerClass: 'viaduct/inside' }))
  model.upsert(balanced('c', { 'viaduct/pool': 'inside' }))
  model.upsert(balanced('d', { 'viaduct/pool': 'nowhere' }))
  model.upsert(balanced('e', {}, { loadBalancerClass: 'somebody.else/lb' }))
  model.upsert(balanced('f', {}, { loadBalancerIP: '198.51.100.2' }))
  model.upsert(balanced('g', {}, { loadBalancerIP: '203.0.113.1' }))
  t.same(lines(model.take().problems).sort(), [
    "Service c: RangeExhausted: no load balancer's address (ipv4) is free in the pool inside",
    'Service d: PoolUnknown: there is no pool of the name nowhere; there is: inside, outside',
    'Service g: AddressOutOfRange: 203.0.113.1 is in none of the pools that it may take from',
  ])
  t.same(nodePorts(model), [], 'they want none')
  t.same([...addressOf('a'), ...addressOf('b')].sort(), ['192.0.2.10', '192.0.2.11'])
  t.same([addressOf('c'), addressOf('e'), addressOf('f')], [[], [], ['198.51.100.2']])
  model.upsert(balanced('f', { 'viaduct/pool': 'inside' }, { loadBalancerIP: '192.0.2.10' }))
  t.match(
    lines(model.take().problems)[0],
    /^Service f: AddressTaken: 192\.0\.2\.10 is held by the service default\/[ab]$/,
  )
  model.upsert({ name: 'short', address: '192.0.2.1', pool: 'outside', ports: [80], servers: [] })
  t.ok(prefixContains({ family: 'ipv4', address: '198.51.100.0', length: 30 }, addressOf('short')[0]!))
})

void t.test('a health-check port is picked where one is needed', async (t) => {
  const model = modelWith({ clusterRanges: ['10.96.0.0/24'] })
  model.upsert(service({ type: 'LoadBalancer', externalTrafficPolicy: 'Local', ports }))
  const [check] = model.healthChecks()
  t.ok(check!.port >= 30_086)
  model.upsert(service({ type: 'NodePort', ports: [{ port: 80, nodePort: check!.port }] }, { name: 'other' }))
  t.match(
    lines(model.take().problems)[0],
    /^Service other: NodePortTaken: .* is held by the service default\/web$/,
  )
})

void t.test('picks are the same in another process, and what was recorded is picked again', async (t) => {
  const objects = ['a', 'b', 'c', 'd'].map((name) =>
    service({ type: 'LoadBalancer', externalTrafficPolicy: 'Local', ports }, { name }),
  )
  const options = { clusterRanges: ['10.96.0.0/24'], pools: { one: ['192.0.2.0/29'] } }
  const model = modelWith(options)
  for (const object of [...objects].reverse()) {
    model.upsert(object)
    model.take()
  }
  const again = modelWith(options)
  again.replaceAll(objects)
  const byName = (list: Allocation[]) => list.sort((x, y) => (x.service < y.service ? -1 : 1))
  t.same(byName(again.allocations()), byName(model.allocations()))
  const moved = model
    .allocations()
    .map((one, index) => ({ ...one, clusterAddresses: [`10.96.0.${200 + index}`] }))
  const recorded = modelWith(options, { allocations: JSON.parse(JSON.stringify(moved)) })
  recorded.replaceAll(objects)
  t.same(byName(recorded.allocations()), byName(moved))
  const out = modelWith(options, { allocations: [{ ...moved[0]!, clusterAddresses: ['1.2.3.4', 'x'] }] })
  out.replaceAll(objects)
  const strange: unknown[] = [
    null,
    {},
    { service: 'a/b', clusterAddresses: 7 },
    { service: 'a/b', nodePorts: [] },
  ]
  for (const one of strange) {
    const allocations = [one] as Allocation[]
    t.throws(
      () => modelWith(options, { allocations }),
      { code: 'ERR_VIADUCT_VALIDATION' },
      JSON.stringify(one),
    )
  }
  const bare = {
    service: 'default/a',
    clusterAddresses: [7],
    nodePorts: { '80/tcp': 'x' },
  } as unknown as Allocation
  const lenient = modelWith(options, { allocations: [bare] })
  lenient.replaceAll(objects)
  t.same(lenient.problems(), [])
  t.same(out.problems(), [])
  t.ok(
    out.allocations().every((one) => one.clusterAddresses[0]!.startsWith('10.96.0.')),
    'but not what is no longer ours',
  )
})

void t.test('what was picked goes when it is not wanted any more', async (t) => {
  const model = modelWith({ clusterRanges: ['10.96.0.0/24'], pools: { one: ['192.0.2.0/29'] } })
  const balanced = (loadBalancerIP?: string) =>
    service({ type: 'LoadBalancer', externalTrafficPolicy: 'Local', ports, loadBalancerIP })
  const of = () => model.allocations()[0]
  model.upsert(balanced('192.0.2.1'))
  t.same(of()?.loadBalancerAddresses, ['192.0.2.1'])
  model.upsert(balanced('192.0.2.2'))
  t.same(of()?.loadBalancerAddresses, ['192.0.2.2'])
  const address = of()!.clusterAddresses[0]!
  model.upsert(service({ type: 'NodePort', ports }))
  t.match(of(), { loadBalancerAddresses: [], healthCheckNodePort: undefined, clusterAddresses: [address] })
  model.upsert(service({ ports }))
  t.same(of()?.nodePorts, {})
  t.same(frontends(model), { 'default/web:80/tcp/ipv4': [`cluster:${address}:80`] })
  model.upsert(service({ ports, clusterIP: '10.96.0.9' }))
  t.same(model.allocations(), [])
  t.same(frontends(model), { 'default/web:80/tcp/ipv4': ['cluster:10.96.0.9:80'] }, 'what is given is enough')
})

void t.test('in the short form, an address is picked for each family of the servers', async (t) => {
  const model = modelWith({ clusterRanges: ['10.96.0.0/24', 'fd00:96::/112'] })
  const keysFor = (servers: string[]) => {
    model.replaceAll([{ name: 'web', ports: [80], servers }])
    return Object.keys(frontends(model))
  }
  const [four, six] = ['default/web:80/tcp/ipv4', 'default/web:80/tcp/ipv6']
  t.same(keysFor(['fd00::1', '10.0.0.1']), [four, six])
  t.same(keysFor(['fd00::1']), [six])
  t.same(keysFor(['10.0.0.1']), [four])
  t.same(keysFor([]), [four])
})

void t.test('two ports of a service get two node ports', async (t) => {
  const model = modelWith({ nodePorts: '30000-30001' })
  // Names that differ so that their hashes are both even or both odd.
  const two = [1, 3].map((port) => ({ port, name: `p${port}`, nodePort: true as const }))
  for (let round = 0; round < 8; round++) {
    model.replaceAll([{ name: `s-${round}`, address: '192.0.2.1', ports: two, servers: [] }])
    t.same(nodePorts(model).sort(), [30_000, 30_001])
  }
})

void t.test('what was recorded and is given to another one is not picked', async (t) => {
  const recorded: Allocation = {
    service: 'default/web',
    clusterAddresses: ['10.96.0.9'],
    loadBalancerAddresses: [],
    nodePorts: {},
  }
  const model = modelWith({ clusterRanges: ['10.96.0.0/24'] }, { allocations: [recorded] })
  model.replaceAll([service({ ports }), service({ ports, clusterIP: '10.96.0.9' }, { name: 'zz' })])
  t.same(model.take().problems, [])
  t.not(model.allocations()[0]?.clusterAddresses[0], '10.96.0.9')
})

void t.test('what is deleted is free again', async (t) => {
  const model = modelWith({ clusterRanges: ['10.96.0.0/29'], nodePorts: '30000-30001' })
  for (let round = 0; round < 20; round++) {
    model.upsert(service({ type: 'NodePort', ports }, { name: `s-${round}` }))
    model.take()
    t.same(model.problems(), [])
    model.delete({ kind: 'Service', name: `s-${round}` })
  }
  t.same(model.allocations(), [])
  model.upsert(web({ clusterIP: '10.96.0.1' }))
  model.upsert(web({ clusterIP: 'None' }))
  model.upsert(web({ clusterIP: '10.96.0.1' }, { name: 'other' }))
  t.same(model.take().problems, [])
})

void t.test('claims: the older holds, then who came first', async (t) => {
  const claims = new Claims<{ id: string; createdAt: string | undefined }>()
  const [a, b, c] = [
    { id: 'a', createdAt: undefined },
    { id: 'b', createdAt: undefined },
    { id: 'c', createdAt: '2024' },
  ]
  t.equal(claims.add('k', a, false), undefined)
  t.equal(claims.add('k', b, false), undefined)
  t.equal(claims.holder('k'), a)
  t.notOk(claims.isPeaceful)
  t.equal(claims.add('k', c, false), a, 'who loses it is told')
  t.equal(claims.remove('k', a), undefined)
  t.equal(claims.remove('k', c), b)
  t.ok(claims.isPeaceful)
  t.equal(claims.remove('k', b), undefined)
  t.notOk(claims.has('k'))
  const [one, two] = [
    { id: 'one', createdAt: '2024' },
    { id: 'two', createdAt: '2024' },
  ]
  claims.add('same age', two, false)
  t.equal(claims.add('same age', one, false), two, 'by name then')
  claims.add('k', a, true)
  t.equal(claims.add('k', c, false), undefined, 'picked')
  t.equal(claims.holder('k'), a)
  t.equal(claims.remove('k', a), c)
})
