/** Who answers at a virtual address, and whom they see: for tests of dataplanes. */
import { once } from 'node:events'
import { isKernelError } from '../../../src/errors/index.js'
import type { Host } from '../../../src/testing/index.js'
import { nameOf } from './balanced.js'

/** Servers listen here, beside balanced.ts's ports: they answer with their name and the client's address. */
export const askedPort = 9000

/** Long enough under emulation for what is not silence. */
const silenceMilliseconds = 3000
const answerMilliseconds = 20_000

/** `a`, `b`, `c` over IPv4, `a` and `b` over IPv6; by TCP and UDP. */
export async function serveAsked(
  { hosts: { servers } }: { readonly hosts: { readonly servers: Host } },
  places: readonly { readonly address: string }[],
): Promise<void> {
  for (const place of places) {
    const { address } = place
    const name = nameOf(place)
    await servers.serveTcp(
      (socket) => {
        socket.on('error', () => undefined)
        socket.end(`${name} ${socket.remoteAddress}`)
      },
      { address, port: askedPort },
    )
    await servers.serveUdp((_, from, reply) => reply(Buffer.from(`${name} ${from.address}`)), {
      address,
      port: askedPort,
    })
  }
}

export interface Target {
  readonly address: string
  readonly port: number
  /** The client's. */
  readonly from?: string | undefined
}

/** What the server said, `refused` or `silence`. */
export async function askTcp(client: Host, { from, ...target }: Target): Promise<string> {
  try {
    const socket = await client.connect({
      ...target,
      localAddress: from,
      deadlineMilliseconds: silenceMilliseconds,
    })
    socket.on('error', () => undefined)
    const [bytes] = (await once(socket, 'data', { signal: AbortSignal.timeout(answerMilliseconds) })) as [
      Buffer,
    ]
    socket.destroy()
    return String(bytes)
  } catch (error) {
    return outcomeOf(error)
  }
}

/** The same over UDP, where a refusal is a message of ICMP. */
export async function askUdp(client: Host, { from, address, port }: Target): Promise<string> {
  const socket = await client.udp({
    address: from ?? (address.includes(':') ? client.address6 : client.address),
  })
  try {
    await new Promise<void>((resolve) => socket.connect(port, address, resolve))
    const answer = once(socket, 'message', { signal: AbortSignal.timeout(silenceMilliseconds) })
    socket.send('who?')
    const [bytes] = (await answer) as [Buffer]
    return String(bytes)
  } catch (error) {
    return outcomeOf(error)
  } finally {
    socket.close()
  }
}

function outcomeOf(error: unknown): string {
  const { code, name } = error as { readonly code?: string; readonly name?: string }
  if (code === 'ECONNREFUSED' || isKernelError(error, 'ECONNREFUSED')) return 'refused'
  if (
    code === 'ETIMEDOUT' ||
    code === 'EHOSTUNREACH' ||
    name === 'AbortError' ||
    isKernelError(error, 'ETIMEDOUT')
  )
    return 'silence'
  throw error
}
