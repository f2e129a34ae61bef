/** The configuration of `viaduct run`: every field, kube-proxy's own, and what is told of what cannot be meant. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import t from 'tap'
import { configurationField, readConfiguration } from '../../src/agent/configuration.js'
import { formatProblem, readConfigurationFile } from '../../src/agent/configuration-file.js'
import { matchesPattern } from '../../src/agent/forwarding.js'
import { millisecondsOf, readKubeProxyConfiguration } from '../../src/agent/kube-proxy.js'
import { pathsOf } from '../../src/agent/schema.js'
import { everything, head, kubeProxy } from './support/configurations.js'

t.test('every field is read as it is written', async (t) => {
  const { configuration, problems } = readConfiguration(everything)
  t.strictSame(problems, [])
  t.strictSame(configuration, everything)
  const wrong: Record<string, unknown> = {}
  // Each of them can be wrong.
  for (const at of pathsOf(configurationField)) {
    const value = structuredClone(everything) as unknown as Record<string, unknown>
    const steps = at.replaceAll('[]', '.0').split('.')
    let held: Record<string, unknown> = value
    for (const step of steps.slice(0, -1)) held = held[step] as Record<string, unknown>
    held[steps.at(-1)!] = Symbol.for
    const found = readConfiguration(value).problems
    if (!found.some(({ path: told }) => told.startsWith(at.replaceAll('[]', '[0]')))) wrong[at] = found
  }
  t.strictSame(wrong, {}, 'and told of where it is wrong')
})

t.test('names that nobody knows, and what single fields cannot tell', async (t) => {
  const told = (value: object): string[] =>
    readConfiguration({ ...head, ...value }).problems.map(({ path: at, message }) => `${at}: ${message}`)
  t.match(told({ node: { clusterRange: [] } }), [/^node\.clusterRange: .*clusterRanges is meant\?/])
  t.match(told({ 'what is this': 1 }), [/^\["what is this"\]: there is no field/])
  t.match(told({ edge: { addresses: ['192.0.2.1/24'] } }), [/^edge\.device: /])
  t.match(told({ edge: { device: 'e', vrrp: {} } }), [/virtualRouterId/, /edge\.addresses/])
  t.match(told({ health: { checks: [{}] } }), [/^health\.checks\[0\]\.check: /])
  t.match(told({ health: { checks: [{ check: { kind: 'own' } }] } }), [/^health\.checks\[0\]\.check\.kind: /])
  t.match(told({ health: { checks: [{ check: { kind: 'tcp' }, rules: { fall: 0 } }] } }), [
    /^health\.checks\[0\]\.rules\.fall: /,
  ])
  t.strictSame(told({ node: null, dns: null }), [], 'what is null is left out')
  t.match(readConfiguration({}).problems, [{ path: 'apiVersion' }, { path: 'kind' }])
})

t.test('of kube-proxy', async (t) => {
  const read = readKubeProxyConfiguration(kubeProxy)
  t.strictSame(read.problems, [])
  t.match(read.configuration, {
    dataplane: { kind: 'ipvs', scheduler: 'rr', masqueradeBit: 0x4000 },
    node: {
      name: 'a',
      clusterRanges: ['10.244.0.0/16', 'fd00::/48'],
      nodePortAddresses: ['192.0.2.0/24'],
      masqueradeAll: true,
    },
    reconcile: { coalesceMilliseconds: 100, repairIntervalMilliseconds: 30_000 },
    conntrack: { tcpEstablishedTimeoutSeconds: 86_400, tcpCloseWaitTimeoutSeconds: 3600 },
  })
  t.equal(read.configuration.conntrack?.udpTimeoutSeconds, undefined, '0 leaves it')
  t.strictSame(
    read.notes.map(({ path: at }) => at).sort(),
    ['bindAddress', 'conntrack.maxPerCore', 'ipvs.strictARP', 'metricsBindAddress'],
    'and what is ignored is told, unless it says nothing',
  )
  const other = readKubeProxyConfiguration({
    mode: 'userspace',
    clusterCIDR: 1,
    conntrack: { udpTimeout: 'soon' },
  })
  t.strictSame(
    other.problems.map(({ path: at }) => at),
    ['mode', 'clusterCIDR', 'conntrack.udpTimeout'],
  )
  t.match(readKubeProxyConfiguration({ mode: 'iptables' }), {
    configuration: { dataplane: { kind: 'auto' } },
    notes: [{ path: 'mode' }],
  })
  for (const [text, milliseconds] of [
    ['1h30m', 5_400_000],
    ['250ms', 250],
    ['1.5s', 1500],
    ['0', 0],
    ['', undefined],
    ['5', undefined],
    ['1s ', undefined],
  ] as const)
    t.equal(millisecondsOf(text), milliseconds, text)
})

t.test('files: line and path', async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'viaduct-configuration-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const file = path.join(folder, 'c.yaml')
  const told = async (text: string): Promise<string[]> => {
    await writeFile(file, text)
    return (await readConfigurationFile(file)).problems.map((one) =>
      formatProblem(one).replace(`${folder}/`, ''),
    )
  }
  t.match(await told(''), ['c.yaml:1: nothing stands in it'])
  t.match(await told('a: ['), [/^c\.yaml:1:\d+: /])
  t.match(await told('kind: Deployment\napiVersion: apps/v1\n'), [
    /^c\.yaml:1:1: kind: expected Configuration of viaduct\/v1 or Kube/,
  ])
  t.match(await told('apiVersion: viaduct/v1\nkind: Configuration\nlog:\n  level: loud\n'), [
    /^c\.yaml:4:3: log\.level: expected debug, info, .*got "loud"/,
  ])
  t.match(await told('apiVersion: viaduct/v1\nkind: Configuration\n---\nkind: x\n'), [/a second document/])
  t.strictSame(await told('---\napiVersion: viaduct/v1\nkind: Configuration\n'), [])
  t.match(
    await told(
      'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nbindAddress: ::1\n',
    ),
    ['c.yaml:3:1: bindAddress: not taken over'],
  )
  await t.rejects(readConfigurationFile(path.join(folder, 'none')), { code: 'ENOENT' })
})

t.test('patterns of services', async (t) => {
  for (const [pattern, name, fits] of [
    ['*/*', 'default/web', true],
    ['default/*', 'default/web', true],
    ['default/*', 'other/web', false],
    ['*/web-*', 'a/web-1', true],
    ['*/web-*', 'a/web', false],
    ['*/*-a-*-b', 'x/1-a-2-b', true],
    ['*/*-a-*-b', 'x/1-a-b', false],
    ['*/ab*ba', 'x/aba', false],
    ['default/web', 'default/web', true],
  ] as const)
    t.equal(matchesPattern(pattern, name), fits, `${pattern} ${name}`)
})

t.test('the guide names every field', async (t) => {
  const guide = await readFile('docs/guides/run.md', 'utf8')
  const missing = pathsOf(configurationField).filter((at) => !guide.includes(`\`${at}\``))
  t.strictSame(missing, [])
})
