/** What `viaduct run` reads beside manifests is hostile, too: whatever stands in it is taken, or refused with its place, and fast. */
import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { readConfiguration } from '../../src/agent/configuration.js'
import { readConfigurationFile } from '../../src/agent/configuration-file.js'
import { Drains, readServer } from '../../src/agent/drains.js'
import { millisecondsOf, readKubeProxyConfiguration } from '../../src/agent/kube-proxy.js'
import { RememberedSource } from '../../src/agent/remembered-source.js'
import { StateError, StateFile } from '../../src/agent/state-file.js'
import { ServiceModel } from '../../src/model/index.js'
import { MemorySource } from '../../src/sources/index.js'
import { everything, head, kubeProxy } from './support/configurations.js'

async function temporary(t: Test): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'viaduct-hostile-'))
  t.teardown(() => rm(folder, { recursive: true }))
  return folder
}

type Step = string | number
type Tree = Record<Step, unknown>

/** Paths of all that stands in a value. */
function pathsIn(value: unknown, above: readonly Step[] = []): (readonly Step[])[] {
  if (typeof value !== 'object' || value === null) return [above]
  const within = Object.entries(value).flatMap(([name, held]) =>
    pathsIn(held, [...above, Array.isArray(value) ? Number(name) : name]),
  )
  return above.length === 0 ? within : [above, ...within]
}

/** A copy in which something else stands at the path. */
function mutated(whole: object, at: readonly Step[], value: unknown): object {
  const copy = structuredClone(whole) as Tree
  let held = copy
  for (const step of at.slice(0, -1)) held = held[step] as Tree
  held[at.at(-1)!] = value
  return copy
}

const format = (at: readonly Step[]): string =>
  at.map((step, index) => (typeof step === 'number' ? `[${step}]` : index === 0 ? step : `.${step}`)).join('')

/** One is told of where it stands, above or below it, or in the same part: what follows from others is told where it would help. */
const isNear = (told: string, at: readonly Step[]): boolean => told === '' || told.split(/[.[]/)[0] === at[0]

/** What JSON and YAML have, and what else looks like a value: names that objects have by themselves, numbers out of all ranges. */
const value = fc.oneof(
  fc.jsonValue(),
  fc.constantFrom(
    '',
    '__proto__',
    'constructor',
    '99999-1',
    '10.0.0.0/33',
    'tcp',
    'auto',
    '1h',
    '9'.repeat(400),
  ),
  fc.constantFrom(-1, 0, 0.5, 1e300, 2 ** 31, 2 ** 53),
  fc.dictionary(fc.constantFrom('kind', 'path', '__proto__', 'constructor', 'toString'), fc.jsonValue()),
)

t.test('whatever a configuration holds, it is read, or told of with its path', async (t) => {
  const places = pathsIn(everything)
  for (const read of [readConfiguration, (one: unknown) => readKubeProxyConfiguration(one as Tree)]) {
    fc.assert(
      fc.property(fc.oneof(fc.dictionary(fc.string(), value), value), (one) => {
        if (read !== readConfiguration && (typeof one !== 'object' || one === null)) return
        for (const { path: at, message } of read(one).problems)
          if (typeof at !== 'string' || message === '') throw new Error(`${at}: ${message}`)
      }),
      { numRuns: 500 },
    )
  }
  fc.assert(
    fc.property(fc.constantFrom(...places), value, (at, other) => {
      const { configuration, problems } = readConfiguration(mutated(everything, at, other))
      const far = problems.filter(({ path: told }) => !isNear(told, at))
      if (far.length > 0) throw new Error(`${format(at)}: told of ${JSON.stringify(far)}`)
      // What is read without a problem is read again without one; namespaces are read as what the library takes.
      const again = readConfiguration(configuration).problems.filter(
        ({ path: told }) => !told.endsWith('netns'),
      )
      if (problems.length === 0 && again.length > 0)
        throw new Error(`${format(at)}: another time it is refused`)
    }),
    { numRuns: 1000 },
  )
  t.match(readConfiguration({ ...head, dataplane: { name: 'Big' } }).problems, [{ path: 'dataplane.name' }])
  t.match(readConfiguration({ ...head, dataplane: { masqueradeBit: 3 } }).problems, [
    { path: 'dataplane.masqueradeBit' },
  ])
  t.match(readConfiguration({ ...head, allocate: { nodePorts: '99999-1' } }).problems, [
    { path: 'allocate.nodePorts' },
  ])
  t.match(readConfiguration({ ...head, allocate: { pools: { a: ['x'] } } }).problems, [
    { path: 'allocate.pools.a[0]' },
  ])
  t.match(readConfiguration({ ...head, edge: { pools: { a: ['x'] } } }).problems, [
    { path: 'edge.pools.a[0]' },
  ])
  t.match(readConfiguration({ ...head, dns: { upstreams: ['9.9.9.9', 'x'] } }).problems, [
    { path: 'dns.upstreams[1]' },
  ])
})

t.test('what kube-proxy says holds as if it had been written here', async (t) => {
  const places = pathsIn(kubeProxy)
  fc.assert(
    fc.property(fc.constantFrom(...places), value, (at, other) => {
      const { configuration, problems } = readKubeProxyConfiguration(mutated(kubeProxy, at, other) as Tree)
      const far = problems.filter(({ path: told }) => !isNear(told, at))
      if (far.length > 0) throw new Error(`${format(at)}: told of ${JSON.stringify(far)}`)
      if (problems.length === 0 && readConfiguration({ ...head, ...configuration }).problems.length > 0)
        throw new Error(`${format(at)}: it is no configuration`)
    }),
    { numRuns: 1000 },
  )
  const told = (more: object): string[] =>
    readKubeProxyConfiguration({ ...kubeProxy, ...more }).problems.map(({ path: at }) => at)
  // Timers of Node.js that are longer than 2^31 ms fire at once, again and again.
  t.strictSame(told({ ipvs: { syncPeriod: '1000h' } }), ['ipvs.syncPeriod'])
  t.strictSame(told({ clusterCIDR: '10.0.0.0/8,x' }), ['clusterCIDR'])
  t.strictSame(told({ nodePortAddresses: ['x'] }), ['nodePortAddresses'])
  const { notes } = readKubeProxyConfiguration({ ...kubeProxy, constructor: 1 })
  t.match(
    notes.find(({ path: at }) => at === 'constructor'),
    { message: /^not taken over$/ },
  )
})

t.test('texts that take long are refused fast', async (t) => {
  const file = path.join(await temporary(t), 'c.yaml')
  const start = 'apiVersion: viaduct/v1\nkind: Configuration\n'
  const bomb = Array.from(
    { length: 30 },
    (_, index) => `a${index}: &a${index} [${index === 0 ? '1' : `*a${index - 1}, *a${index - 1}`}]\n`,
  ).join('')
  const megabyte = 1_000_000
  const texts: Readonly<Record<string, string>> = {
    'aliases of aliases': start + bomb,
    'an alias of itself': `${start}node: &n { zone: *n }\n`,
    'lists in lists': `${start}manifests: ${'['.repeat(100_000)}`,
    'objects in objects': `${start}node: ${'{a: '.repeat(100_000)}`,
    'names that nobody knows': start + Array.from({ length: 30_000 }, (_, at) => `n${at}: 1\n`).join(''),
    'wrong ones of a list': `${start}manifests: [${'1,'.repeat(100_000)}1]\n`,
    'a duration': `apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nipvs: { syncPeriod: '${'1'.repeat(megabyte)}' }\nmode: ipvs\n`,
    'a pattern of services': `${start}health: { checks: [{ services: ['${'*'.repeat(megabyte)}'], check: { kind: tcp } }] }\n`,
    'more than there may be': start + '#'.repeat(2 * megabyte),
  }
  for (const [name, text] of Object.entries(texts)) {
    await writeFile(file, text)
    const began = performance.now()
    const { problems } = await readConfigurationFile(file)
    const seconds = (performance.now() - began) / 1000
    t.comment(`${name}: ${seconds.toFixed(2)} s, ${problems.length} problems`)
    t.match(problems, [{ severity: 'error', line: Number }], name)
    t.ok(problems.length <= 100, `${name}: nobody reads more`)
    t.ok(seconds < 10, `${name}: ${seconds.toFixed(2)} s`)
  }
  for (const [text, milliseconds] of [
    ['1h1h', 7_200_000],
    ['1h x', undefined],
    ['.5s', undefined],
    ['5ss', undefined],
    ['s', undefined],
  ] as const)
    t.equal(millisecondsOf(text), milliseconds, text)
})

t.test('a state file whose checksum is right, and nothing else', async (t) => {
  const folder = await temporary(t)
  const file = new StateFile(path.join(folder, 'state'))
  const line = fc.oneof(
    value,
    fc.record({ source: fc.oneof(fc.constant('m'), value), object: value }),
    fc.record({ allocation: value }),
    fc.record({
      allocation: fc.record(
        { service: value, clusterAddresses: value, nodePorts: value },
        { requiredKeys: [] },
      ),
    }),
    fc.record({ drain: fc.oneof(value, fc.constantFrom('10.0.0.1', '10.0.0.1:99999', 'x')) }),
    fc.record({ setting: value, before: value }),
  )
  let taken = 0
  await fc.assert(
    fc.asyncProperty(fc.array(line, { maxLength: 5 }), async (lines) => {
      const text = [{ viaduct: 'state', version: 1 }, ...lines]
        .map((one) => `${JSON.stringify(one)}\n`)
        .join('')
      const checksum = createHash('sha256').update(text).digest('hex')
      await writeFile(file.file, `${text}${JSON.stringify({ checksum })}\n`)
      const saved = await file.read().catch((error: unknown) => {
        if (!(error instanceof StateError)) throw error
        return undefined
      })
      if (saved === undefined) return
      taken++
      // As a start takes it.
      new Drains(saved.drained.map(readServer))
      const { allocations } = saved
      const model = new ServiceModel({ allocate: { clusterRanges: ['10.96.0.0/24'] }, allocations })
      const source = new RememberedSource(new MemorySource(), saved.objects.get('m') ?? [])
      for (const object of source.objects) model.upsert(object)
      model.upsert({ name: 'web', ports: [{ port: 80, nodePort: true }], servers: ['10.0.0.1'] })
      model.virtualServices()
    }),
    { numRuns: 1000 },
  )
  t.ok(taken > 100, `${taken} of them are taken`)
  await rm(file.file)
  const { mkdir } = await import('node:fs/promises')
  await mkdir(file.file)
  await t.rejects(file.read(), StateError, 'a folder')
})
