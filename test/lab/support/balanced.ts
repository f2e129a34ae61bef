/**
 * A client, a director and servers that say their names: `a`, `b`, … each an address of one host, which is enough to
 * see who gets what, and cheaper than a host for each.
 */
import { once } from 'node:events'
import type { Socket } from 'node:net'
import type { DestinationInput } from '../../../src/index.js'
import type { Host, Sandbox } from '../../../src/testing/index.js'
import type { MakeSandbox } from '../../kernel/kernel-test.js'

export const virtualAddress = '192.0.2.10'
export const virtualAddress6 = '2001:db8::10'
/** What servers listen on; on `otherPort` by TCP alone. */
export const realPort = 8080
export const otherPort = 8081
/** By name. */
const addresses: Readonly<Record<string, string>> = Object.fromEntries(
  ['a', 'b', 'c', 'd', 'e'].map((name, index) => [name, `10.0.2.${11 + index}`]),
)
const addresses6: Readonly<Record<string, string>> = { a: 'fd00:2::a', b: 'fd00:2::b' }

export type Balanced = Sandbox<'client' | 'director' | 'servers'>

/**
 * Whatever is sent to 198.51.100.0/24 is the director's. The client may send from all of 10.1.0.0/16, and from the
 * addresses ::1 and ::9 of fd00:1::/64 and fd00:9::/64.
 */
export async function balanced(sandbox: MakeSandbox): Promise<Balanced> {
  const net = await sandbox({
    hosts: ['client', 'director', 'servers'],
    links: [
      ['client', 'director'],
      ['director', 'servers'],
    ],
    settings: {
      client: {
        addresses: ['fd00:1::9/64', 'fd00:9::1/64', 'fd00:9::9/64'].map((address) => ({
          address,
          towards: 'director' as const,
        })),
      },
      director: {
        addresses: [`${virtualAddress}/32`, `${virtualAddress6}/128`],
        routes: [
          { destination: '10.1.0.0/16', via: 'client' },
          { destination: 'fd00:9::/64', via: 'client' },
        ],
        // Every refusal is to be told, not so many a second.
        sysctls: { 'net.ipv4.icmp_ratemask': 0 },
      },
      servers: {
        addresses: [
          ...Object.values(addresses).map((address) => `${address}/24`),
          ...Object.values(addresses6).map((address) => `${address}/64`),
        ].map((address) => ({ address, towards: 'director' as const })),
      },
    },
  })
  const { client, director, servers } = net.hosts
  for (const [host, destination] of [
    [client, '10.1.0.0/16'],
    [director, '198.51.100.0/24'],
  ] as const) {
    await host.rtnetlink.routes.add({ destination, type: 'local', table: 255, device: 'lo' })
  }
  for (const [name, address] of [...Object.entries(addresses), ...Object.entries(addresses6)]) {
    for (const port of [realPort, otherPort]) {
      // Once at the start, and again for whatever it is sent.
      await servers.serveTcp((socket) => socket.on('data', () => socket.write(name)).write(name), {
        address,
        port,
      })
    }
    await servers.serveUdp((_, __, reply) => reply(Buffer.from(name)), { address, port: realPort })
  }
  return net
}

/** Where a server is. */
export function server(name: string, options: Partial<DestinationInput> = {}): DestinationInput {
  return { address: addresses[name]!, port: realPort, ...options }
}

/** The same, over IPv6; of `a` and `b`. */
export function server6(name: string): DestinationInput {
  return { address: addresses6[name]!, port: realPort }
}

export function nameOf({ address }: { readonly address: string }): string {
  const isName = (name: string): boolean => address === addresses[name] || address === addresses6[name]
  return Object.keys(addresses).find(isName) ?? address
}

/** A TCP connection, and who has it. */
export interface Held {
  readonly server: string
  readonly socket: Socket
}

/** Resolves when the server has said its name, so that IPVS has seen the whole handshake. */
export async function connect(
  client: Host,
  target: { readonly address: string; readonly port: number; readonly localAddress?: string | undefined },
): Promise<Held> {
  const socket = await client.connect(target)
  socket.on('error', () => undefined)
  const [name] = (await once(socket, 'data', { signal: AbortSignal.timeout(20_000) })) as [Buffer]
  return { server: String(name), socket }
}

/** How many each has, by name. */
export function countOf(names: Iterable<string>): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const name of [...names].sort()) counts[name] = (counts[name] ?? 0) + 1
  return counts
}
