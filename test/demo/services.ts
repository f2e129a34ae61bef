/**
 * The part of `npm run demo` about services: Kubernetes' own manifests, read from a folder, on nf_tables of the running kernel.
 * Every Pod is a network namespace with a real server in it.
 */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { release, tmpdir } from 'node:os'
import path from 'node:path'
import { openDataplane, Reconciler } from '../../src/services/index.js'
import { FileSource } from '../../src/sources/index.js'
import { type Host, sandbox } from '../../src/testing/index.js'

const say = (line = ''): void => console.log(line)

/** What is shown must be so: otherwise it ends with an error. */
function ensure(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(`The demo went wrong: ${what}`)
}

/** Pods, by the addresses that the manifests say they have. The third one comes later. */
const pods = {
  'web-1': { address: '10.244.0.11', port: 8080 },
  'web-2': { address: '10.244.1.12', port: 8081 },
  'web-3': { address: '10.244.0.13', port: 8080 },
} as const
const podNames = ['web-1', 'web-2', 'web-3'] as const

await using net = await sandbox({
  hosts: ['client', 'node', ...podNames] as const,
  links: [
    { hosts: ['client', 'node'], ipv4: '192.0.2.0/24' },
    ...podNames.map((pod) => ['node', pod] as const),
  ],
  settings: {
    node: {
      defaultRoute: 'client',
      routes: podNames.map((pod) => ({ destination: `${pods[pod].address}/32`, via: pod })),
    },
    ...Object.fromEntries(podNames.map((pod) => [pod, { addresses: [`${pods[pod].address}/32`] }])),
  },
})
const { client, node } = net.hosts
for (const pod of podNames) {
  await net.hosts[pod].serve((_, response) => response.end(pod), { port: pods[pod].port })
}

// Manifests are files: what is changed in them is a copy.
const folder = await mkdtemp(path.join(tmpdir(), 'viaduct-demo-'))
try {
  await cp('docs/examples/tutorial', folder, { recursive: true })
  await demo()
} finally {
  await rm(folder, { recursive: true, force: true })
}

async function ask(host: Host, address: string, port = 80): Promise<string> {
  return (await host.fetch(`http://${address}:${port}/`, { headers: { connection: 'close' } })).text()
}

/** Who answered how often. */
async function spread(host: Host, address: string, times: number, port = 80): Promise<string> {
  const counts = new Map<string, number>()
  for (let index = 0; index < times; index++) {
    const name = await ask(host, address, port)
    counts.set(name, (counts.get(name) ?? 0) + 1)
  }
  return [...counts]
    .sort()
    .map(([name, count]) => `${name} ×${count}`)
    .join(', ')
}

async function demo(): Promise<void> {
  say(`Linux ${release()}: Kubernetes' manifests without Kubernetes, on nftables.`)
  await using dataplane = await openDataplane({
    kind: 'nftables',
    netns: node.netns,
    node: { clusterRanges: ['10.244.0.0/16'], serviceRanges: ['10.96.0.0/16'] },
  })
  await using reconciler = new Reconciler({ dataplane, nodeName: 'node-a' })
  await reconciler.follow(new FileSource(folder))
  await reconciler.start()
  for (const { severity, place, line, message } of reconciler.problems().sources) {
    say(`  ${severity}: ${path.basename(place)}${line === undefined ? '' : `:${line}`}: ${message}`)
  }
  const endpoints = (): string =>
    reconciler.model
      .service({ name: 'web' })!
      .slices.flatMap((slice) => slice.endpoints.map((endpoint) => endpoint.address))
      .sort()
      .join(', ')
  for (const name of ['web', 'web-node-port', 'web-public', 'web-sticky']) {
    const { state } = reconciler.status({ name })
    ensure(state === 'programmed', `${name} is ${state}`)
  }

  say('\n1. One set of Pods behind a cluster address, a node port and a load balancer')
  say(`  client → 10.96.0.10:80          ${await spread(client, '10.96.0.10', 12)}`)
  say(`  client → ${node.address}:30080       ${await spread(client, node.address, 12, 30080)}`)
  const local = await spread(client, '203.0.113.10', 6)
  say(`  client → 203.0.113.10:80        ${local} (policy Local: the Pod of this node alone)`)
  ensure(local === 'web-1 ×6', `the load balancer reached ${local}`)

  say('\n2. A session stays with its Pod')
  const sticky = await spread(client, '10.96.0.13', 12)
  say(`  client → 10.96.0.13:80          ${sticky}`)
  ensure(!sticky.includes(','), `the session moved: ${sticky}`)

  say('\n3. A Pod is replaced by another with another address')
  say(`  endpoints before: ${endpoints()}`)
  const file = path.join(folder, 'pods.yaml')
  const manifest = await readFile(file, 'utf8')
  const { writes } = reconciler.counts
  await writeFile(
    file,
    manifest.replaceAll('web-1', 'web-3').replaceAll(pods['web-1'].address, pods['web-3'].address),
  )
  const deadline = AbortSignal.timeout(10_000)
  while (!endpoints().includes(pods['web-3'].address)) {
    deadline.throwIfAborted()
    await new Promise((resolve) => setImmediate(resolve))
  }
  await reconciler.settled()
  say(`  endpoints after:  ${endpoints()}`)
  const after = await spread(client, '10.96.0.10', 12)
  say(
    `  client → 10.96.0.10:80          ${after} (${reconciler.counts.writes - writes} messages changed four services)`,
  )
  ensure(!after.includes('web-1') && after.includes('web-3'), `the replaced Pod still answers: ${after}`)

  await reconciler.close()
  await dataplane.teardown()
  say('\nDone; nothing is left behind.')
}
