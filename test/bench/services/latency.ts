/**
 * What a request costs more with a service in between than straight to its server, however many services there are: through a
 * dataplane of ours, and through rules in kube-proxy's shape. Each in a network of its own, all in turns.
 */
import { type DataplaneKind, openDataplane } from '../../../src/dataplane/index.js'
import { Reconciler } from '../../../src/reconciler/index.js'
import type { KubernetesObject } from '../../../src/model/index.js'
import { type Host, sandbox } from '../../../src/testing/index.js'
import { type Place, Turns } from '../processes.js'
import { endpointsEach, node, nodeName, objectsOf, type Size } from './objects.js'
import { addLegacyRules } from './legacy-rules.js'
import { addRules, type Probe } from './rules.js'

export const latencySizes = [10, 1000, 10_000] as const
export const ways = ['direct', 'viaduct', 'rules'] as const
export type Way = (typeof ways)[number]

/** Microseconds of each packet there and back: the first of a flow, and the others. */
export interface Latencies {
  readonly first: readonly number[]
  readonly later: readonly number[]
}
/** By the number of services. `direct` is what all are compared with: without any table. */
export interface LatencyFigures {
  readonly direct: Latencies
  readonly viaduct: Readonly<Record<number, Latencies>>
  readonly rules: Readonly<Record<number, Latencies>>
}

const servicePort = 80
const serverPort = 9000
const otherServerPort = 9001
/** Nothing else has it. */
const serviceAddress = '10.111.255.254'

/** Packets of each flow behind the first. */
const laterEach = 5
const flowsEach = 100

/** A client, a node that it goes through, and a server. */
function network() {
  return sandbox({
    hosts: ['client', 'node', 'server'],
    links: [
      ['client', 'node'],
      ['node', 'server'],
    ],
    settings: { node: { defaultRoute: 'client' } },
  })
}

const placeOf = ({ netns }: Host): Place => ({ path: `/proc/${process.pid}/fd/${netns.fd}` })

/** One flow after the other. */
class Flows extends Turns<Latencies> {
  readonly first: number[] = []
  readonly later: number[] = []

  constructor(program: string, client: Host, server: Host, address: string, port: number, listening: number) {
    const words = [placeOf(client).path, placeOf(server).path, address, port, listening, laterEach]
    super([program, words.map(String)])
  }

  async flows(count: number, isMeasured = true): Promise<void> {
    const { first, later } = await this.turn(String(count))
    if (!isMeasured) return
    this.first.push(...first.map((one) => one / 1000))
    this.later.push(...later.map((one) => one / 1000))
  }
}

/** The service that is asked. */
function probeObjects(server: string, port: number): readonly KubernetesObject[] {
  const metadata = { name: 'probe', namespace: 'bench' }
  return [
    {
      kind: 'Service',
      metadata,
      spec: { clusterIP: serviceAddress, ports: [{ protocol: 'UDP', port: servicePort, targetPort: port }] },
    },
    {
      kind: 'EndpointSlice',
      metadata: { ...metadata, labels: { 'kubernetes.io/service-name': 'probe' } },
      addressType: 'IPv4',
      endpoints: [{ addresses: [server], conditions: { ready: true }, nodeName: 'another' }],
      ports: [{ name: '', protocol: 'UDP', port }],
    },
  ]
}

/** What it stands beside. */
const rulesBeside: Readonly<Record<DataplaneKind, (node: Host, size: Size, probe: Probe) => Promise<void>>> =
  {
    nftables: ({ netns }, size, probe) => addRules(netns, size, probe),
    ipvs: (node, size, probe) => addLegacyRules(placeOf(node), size, probe),
  }

/** `rounds` times so many flows each way. */
export async function measureLatency(
  program: string,
  rounds: number,
  kind: DataplaneKind,
): Promise<LatencyFigures> {
  const closing: (() => unknown)[] = []
  try {
    return await measure(program, rounds, kind, (close) => closing.push(close))
  } finally {
    for (const close of closing.reverse()) await close()
  }
}

async function measure(
  program: string,
  rounds: number,
  kind: DataplaneKind,
  defer: (close: () => unknown) => void,
): Promise<LatencyFigures> {
  const straight = await network()
  defer(() => straight.close())
  const { client, server } = straight.hosts
  const all: Record<Way, Record<number, Flows>> = { direct: {}, viaduct: {}, rules: {} }
  const keep = (flows: Flows): Flows => {
    defer(() => flows.close())
    return flows
  }
  all.direct[0] = keep(new Flows(program, client, server, server.address, serverPort, serverPort))
  const changes: (() => Promise<void>)[] = []
  for (const services of latencySizes) {
    const size: Size = { services, endpointsEach }
    const [ours, theirs] = [await network(), await network()]
    defer(() => ours.close())
    defer(() => theirs.close())
    const way = ({ client, server }: (typeof ours)['hosts'], listening = serverPort): Flows =>
      keep(new Flows(program, client, server, serviceAddress, servicePort, listening))

    const { hosts } = ours
    // The client is a Pod: nobody is masqueraded.
    const inside = { ...node, clusterRanges: ['10.0.0.0/16', ...node!.clusterRanges!] }
    const dataplane = await openDataplane({ kind, netns: hosts.node.netns, node: inside })
    defer(() => dataplane.close())
    const reconciler = new Reconciler({ dataplane, nodeName, repairIntervalMilliseconds: 0 })
    defer(() => reconciler.close())
    reconciler.replaceAll([...objectsOf(size), ...probeObjects(hosts.server.address, serverPort)])
    await reconciler.start()
    all.viaduct[services] = way(hosts)
    changes.push(async () => {
      // Another server from then on.
      for (const object of probeObjects(hosts.server.address, otherServerPort)) reconciler.upsert(object)
      await reconciler.settled()
      await way(hosts, otherServerPort).flows(1)
    })

    const probe: Probe = {
      address: serviceAddress,
      port: servicePort,
      server: [theirs.hosts.server.address, serverPort],
    }
    await rulesBeside[kind](theirs.hosts.node, size, probe)
    all.rules[services] = way(theirs.hosts)
  }
  const every = ways.flatMap((way) => Object.values(all[way]))
  // Neighbours are found, and code and tables are in the processor's caches.
  for (const flows of every) await flows.flows(flowsEach, false)
  for (let round = 0; round < rounds; round++) for (const flows of every) await flows.flows(flowsEach)
  for (const change of changes) await change()
  return { direct: all.direct[0], viaduct: all.viaduct, rules: all.rules }
}
