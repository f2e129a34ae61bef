/**
 * A proxy that decides in Node and forwards in the kernel: its users' packets never pass this process.
 *
 * Backends announce themselves over HTTP and renew their lease (`PUT /backends/10.0.0.7:8080?weight=3`). One whose lease
 * has ended, or that says `DELETE`, is drained: its running connections finish. When the proxy itself stops or is
 * replaced, IPVS goes on forwarding.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import {
  type DestinationInput,
  IpvsService,
  type IpvsServiceOptions,
  isValidationError,
  type ServiceInput,
} from 'viaduct'

export interface ProxyOptions extends IpvsServiceOptions {
  readonly service: ServiceInput
  /** Where the control server listens; on loopback. 0 takes any free port. */
  readonly controlPort?: number
  readonly leaseSeconds?: number
  readonly drainTimeoutSeconds?: number
}

export interface Proxy {
  readonly controlPort: number
  close(): Promise<void>
}

export async function startProxy(options: ProxyOptions): Promise<Proxy> {
  const { service, controlPort = 0, leaseSeconds = 10, drainTimeoutSeconds = 30 } = options
  const web = await IpvsService.ensure(service, options)
  const leases = new Map<string, { server: DestinationInput; timer: NodeJS.Timeout }>()
  const stopped = new AbortController()
  // What a proxy that ran before this one has left keeps forwarding until somebody announces itself.
  let work: Promise<unknown> = Promise.resolve()

  /** Changes follow each other; a drain goes on in the background, and adding again ends it. */
  function apply(change: () => Promise<unknown>): Promise<unknown> {
    const next = work.then(change)
    work = next.catch(() => undefined)
    return next
  }

  async function announce(server: DestinationInput): Promise<void> {
    const name = `${server.address}:${server.port}`
    await apply(async () => {
      const there = (await web.servers.list()).find(({ address, port }) => `${address}:${port}` === name)
      if (there === undefined) await web.servers.add(server)
      else if (there.weight !== server.weight) await web.servers.update(server)
    })
    clearTimeout(leases.get(name)?.timer)
    leases.set(name, { server, timer: setTimeout(() => retire(name), leaseSeconds * 1000) })
  }

  function retire(name: string): void {
    const lease = leases.get(name)
    if (lease === undefined) return
    clearTimeout(lease.timer)
    leases.delete(name)
    web
      .drain(lease.server, { timeoutSeconds: drainTimeoutSeconds, signal: stopped.signal })
      .catch((error: unknown) => stopped.signal.aborted || console.error(`drain ${name}:`, error))
  }

  const control = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://control')
    const match = /^\/backends\/(.+):(\d+)$/.exec(decodeURIComponent(url.pathname))
    const done = (status: number, text = ''): void => void response.writeHead(status).end(text)
    if (match === null) return done(404)
    const [, address = '', port] = match
    if (request.method === 'DELETE') {
      retire(`${address}:${port}`)
      return done(202)
    }
    if (request.method !== 'PUT') return done(405)
    const weight = Number(url.searchParams.get('weight') ?? 1)
    announce({ address, port: Number(port), weight }).then(
      () => done(204),
      (error: unknown) => done(isValidationError(error) ? 400 : 500, (error as Error).message),
    )
  })
  await new Promise<void>((resolve, reject) => {
    control.once('error', reject)
    control.listen(controlPort, '127.0.0.1', resolve)
  })

  return {
    controlPort: (control.address() as AddressInfo).port,
    async close() {
      stopped.abort()
      for (const { timer } of leases.values()) clearTimeout(timer)
      control.closeAllConnections()
      await new Promise((resolve) => control.close(resolve))
      await work
      await web.close()
    },
  }
}
