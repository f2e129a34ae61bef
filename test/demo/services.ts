/**
 * The part of `npm run demo` about services: Kubernetes' own manifests, read from a folder, on nf_tables of the running kernel.
 * Every Pod is a network namespace with a real server in it.
 */
import { release } from 'node:os'
import path from 'node:path'
import { pods } from '../../docs/examples/tutorial-hosts.js'
import { openDataplane, Reconciler } from '../../src/services/index.js'
import { FileSource } from '../../src/sources/index.js'
import { ensure, say, spread, tutorial } from './tutorial.js'

await using place = await tutorial()
const { client, node, manifests } = place
await demo()

async function demo(): Promise<void> {
  say(`Linux ${release()}: Kubernetes' manifests without Kubernetes, on nftables.`)
  await using dataplane = await openDataplane({
    kind: 'nftables',
    netns: node.netns,
    node: { clusterRanges: ['10.244.0.0/16'], serviceRanges: ['10.96.0.0/16'] },
  })
  await using reconciler = new Reconciler({ dataplane, nodeName: 'node-a' })
  await reconciler.follow(new FileSource(manifests))
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
  const { writes } = reconciler.counts
  await place.replacePod()
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
