/**
 * A director of two that have one service: its table, its connections and who has the addresses. In this process, or in one
 * of its own that is to be killed: `node director.js NAMESPACE INPUT`.
 */
import { fileURLToPath } from 'node:url'
import { openDataplane, Reconciler } from '../../../src/services/index.js'
import { VirtualRouter } from '../../../src/edge/index.js'
import { Ipvs, IpvsService, syncConnections } from '../../../src/ipvs/index.js'
import type { Netns } from '../../../src/net/index.js'

export const servicePort = 80
export const serverPort = 8080
export const clientDevice = 'eth0'
export const serverDevice = 'eth1'
/** Virtual addresses: clients know that of `service`, servers send everything to that of `gateway`. */
export const virtual = {
  ipv4: { service: '10.0.1.100', gateway: '10.0.2.254', length: 24 },
  ipv6: { service: 'fd00:1::100', gateway: 'fd00:2::254', length: 64 },
} as const

export interface DirectorInput {
  /** By the kernel's interface itself, or by a dataplane. */
  readonly by: 'ipvs' | 'dataplane'
  readonly family: keyof typeof virtual
  readonly servers: readonly string[]
  readonly priority: number
  readonly intervalCentiseconds: number
  /** Whether it tells the other one what connections it has. */
  readonly syncs: boolean
}

export interface Director {
  readonly ipvs: Ipvs
  readonly router: VirtualRouter
  /** Of a dataplane: how often everything has been read and compared. */
  passes(): number | undefined
  close(): Promise<void>
}

export async function startDirector(netns: Netns, input: DirectorInput): Promise<Director> {
  const { priority, intervalCentiseconds, syncs, family } = input
  const { service, gateway, length } = virtual[family]
  const table = await program(netns, input)
  const ipvs = await Ipvs.open({ netns })
  const sync = syncs
    ? await syncConnections(ipvs, { interface: serverDevice, syncId: 7 })
    : { close: () => Promise.resolve() }
  const router = await VirtualRouter.start({
    netns,
    device: clientDevice,
    addresses: [`${service}/${length}`],
    vrrp: { virtualRouterId: 7, priority, intervalCentiseconds },
  })
  // Goes with the other one: what clients send and what servers answer are to pass the same director.
  const inner = await VirtualRouter.start({
    netns,
    device: serverDevice,
    addresses: [`${gateway}/${length}`],
    leader: router.leader,
  })
  const close = async (): Promise<void> => {
    await router.close()
    await inner.close()
    await sync.close()
    ipvs.close()
    await table.close()
  }
  return { ipvs, router, passes: table.passes, close }
}

async function program(
  netns: Netns,
  { by, servers, family }: DirectorInput,
): Promise<Pick<Director, 'passes' | 'close'>> {
  const address = virtual[family].service
  if (by === 'ipvs') {
    const service = await IpvsService.ensure(
      { protocol: 'tcp', address, port: servicePort, scheduler: 'rr' },
      { netns },
    )
    await service.servers.set(servers.map((address) => ({ address, port: serverPort })))
    return { passes: () => undefined, close: () => service.close() }
  }
  const dataplane = await openDataplane({ kind: 'ipvs', netns })
  const reconciler = new Reconciler({ dataplane, repairIntervalMilliseconds: 500 })
  // As a cluster address: at others servers would see the director in the client's place, and each director is another one.
  reconciler.upsert({
    name: 'echo',
    address,
    scheduler: 'rr',
    ports: [{ port: servicePort, targetPort: serverPort }],
    servers: servers.map((address) => ({ address })),
  })
  await reconciler.start()
  await reconciler.settled()
  return {
    passes: () => reconciler.counts.passes,
    close: async () => {
      await reconciler.close()
      dataplane.close()
    },
  }
}

export const directorProcess = fileURLToPath(import.meta.url)

const [script, path, input] = process.argv.slice(1)
if (script === directorProcess && path !== undefined && input !== undefined) {
  await startDirector({ path }, JSON.parse(input) as DirectorInput)
  process.stdout.write('started\n')
}
