/**
 * The balancer of docs/guides/edge.md, in a process of its own: `node balancer.js NAMESPACE INPUT`. What it tells is a line
 * of JSON each: when it is ready, when it becomes master or is so no more, and which node is out or in again.
 */
import { fileURLToPath } from 'node:url'
import { nodeBackends, type NodeBackendsInput, VirtualRouter } from '../../../src/edge/index.js'
import { HealthMonitor, type HealthRules, ServiceChecks } from '../../../src/health/index.js'
import { openDataplane, Reconciler } from '../../../src/services/index.js'

/** Where it is, what it is in front of, and how soon it is to know. */
export interface BalancerInput {
  readonly services: readonly object[]
  readonly nodes: readonly object[]
  /** Of the clients' side, with the length of its prefix. */
  readonly address: string
  readonly intervalCentiseconds: number
  readonly rules: HealthRules
}

export type BalancerLine =
  | { readonly event: 'ready' | 'acquired' | 'lost' | 'contested' }
  | { readonly event: 'out' | 'in'; readonly address: string }

async function balance(path: string, input: BalancerInput): Promise<void> {
  const netns = { path }
  const tell = (line: BalancerLine): void => void process.stdout.write(`${JSON.stringify(line)}\n`)
  const { address, intervalCentiseconds, rules } = input
  const monitor = new HealthMonitor()
  const shaper = new ServiceChecks(monitor, () => ({ check: { kind: 'tcp', netns }, rules }))
  const dataplane = await openDataplane({ kind: 'nftables', netns })
  const reconciler = new Reconciler({ dataplane, shaper })
  const { services, nodes } = input as unknown as Pick<NodeBackendsInput, 'services' | 'nodes'>
  const made = nodeBackends({ services, nodes, addressesOf: () => [address.split('/')[0]!] })
  if (made.problems.length > 0) throw new Error(JSON.stringify(made.problems))
  const events = monitor.events()
  reconciler.replaceAll(made.services)
  await reconciler.start()
  await reconciler.settled()

  // Of each node there is one word, or it would be chosen by the first guess.
  const unheard = new Set(
    made.services.flatMap(({ servers = [] }) =>
      servers.map((server) => (server as { address: string }).address),
    ),
  )
  for await (const event of events) {
    if (event.event === 'resynchronise' || event.server === undefined) continue
    if (event.event === 'taken-out') tell({ event: 'out', address: event.server.address })
    else if (event.event === 'put-back') tell({ event: 'in', address: event.server.address })
    if (unheard.size === 0 || !unheard.delete(event.server.address) || unheard.size > 0) continue
    const router = await VirtualRouter.start({
      netns,
      device: 'eth0',
      addresses: [address],
      // Who comes back takes nothing away from who is there.
      vrrp: { virtualRouterId: 51, intervalCentiseconds, preempt: false },
      onError: (error) => console.error(error),
    })
    router.leader.subscribe(({ event }) => tell({ event }))
    tell({ event: 'ready' })
  }
}

export const balancerProcess = fileURLToPath(import.meta.url)

const [program, path, input] = process.argv.slice(1)
if (program === balancerProcess && path !== undefined && input !== undefined) {
  await balance(path, JSON.parse(input) as BalancerInput)
}
