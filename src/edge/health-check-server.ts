import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { isKernelError } from '../errors/index.js'
import type { HealthCheck } from '../model/index.js'
import { listenTcp, type Netns } from '../net/index.js'

/** Where health-check node ports answer. */
export interface HealthCheckServerOptions {
  /** The network namespace of the node; the current one if left out. */
  readonly netns?: Netns | undefined
  /** Addresses of the node to answer at; all of both families unless said. */
  readonly addresses?: readonly string[] | undefined
}

/** One that could not be opened. It is tried again by the next `set`. */
export interface HealthCheckFailure {
  /** `namespace/name`. */
  readonly service: string
  /** The node's, TCP. */
  readonly port: number
  /** Mostly a KernelError, EADDRINUSE. */
  readonly error: Error
}

/** A balancer asks once in some seconds; nobody needs more, and nobody is to keep many open. */
const mostConnections = 256
const slowestMilliseconds = 5000

/**
 * Answers at health-check node ports, as kube-proxy does: balancers in front ask there which nodes have endpoints of a service whose
 * traffic stays on the node (`externalTrafficPolicy: Local`). 200 where there is any, 503 where there is none; as JSON the service and
 * how many.
 */
export class HealthCheckServer {
  readonly #options: HealthCheckServerOptions
  /** By their ports. */
  readonly #open = new Map<number, { readonly servers: readonly Server[] }>()
  #checks: ReadonlyMap<number, HealthCheck> = new Map()
  #isHealthy = true
  #work: Promise<unknown> = Promise.resolve()
  #isClosed = false

  constructor(options: HealthCheckServerOptions = {}) {
    this.#options = options
  }

  /** Whether the node's dataplane works: if not, every answer is 503, whatever endpoints there are. True at the start. */
  setHealthy(isHealthy: boolean): void {
    this.#isHealthy = isHealthy
  }

  /**
   * These and no others: what `ServiceModel.healthChecks()` tells. Counts hold at once; resolves when ports are open and closed.
   * @returns those that could not be opened
   */
  set(checks: Iterable<HealthCheck>): Promise<readonly HealthCheckFailure[]> {
    this.#checks = new Map([...checks].map((check) => [check.port, check]))
    const work = this.#work.then(() => this.#adjust())
    this.#work = work
    return work
  }

  /** Closes every port. */
  async close(): Promise<void> {
    this.#isClosed = true
    await this.set([])
  }

  /** As `close()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #adjust(): Promise<readonly HealthCheckFailure[]> {
    const failures: HealthCheckFailure[] = []
    for (const [port, { servers }] of this.#open) {
      if (this.#checks.has(port)) continue
      this.#open.delete(port)
      await Promise.all(servers.map(end))
    }
    for (const { port, service } of this.#checks.values()) {
      if (this.#open.has(port) || this.#isClosed) continue
      try {
        this.#open.set(port, { servers: await this.#listen(port) })
      } catch (error) {
        failures.push({ service, port, error: error as Error })
      }
    }
    return failures
  }

  async #listen(port: number): Promise<readonly Server[]> {
    const { netns, addresses } = this.#options
    const servers: Server[] = []
    const listen = async (address: string): Promise<void> => {
      const server = createServer((request, response) => this.#answer(port, request, response))
      server.maxConnections = mostConnections
      server.requestTimeout = slowestMilliseconds
      server.headersTimeout = slowestMilliseconds
      server.keepAliveTimeout = slowestMilliseconds
      servers.push(await listenTcp({ netns, address, port }, server))
    }
    try {
      if (addresses === undefined) {
        await listen('::').catch(async (error: unknown) => {
          // A kernel without IPv6.
          if (!isKernelError(error, 'EAFNOSUPPORT') && !isKernelError(error, 'EADDRNOTAVAIL')) throw error
          await listen('0.0.0.0')
        })
      } else for (const address of addresses) await listen(address)
      return servers
    } catch (error) {
      await Promise.all(servers.map(end))
      throw error
    }
  }

  #answer(port: number, request: IncomingMessage, response: ServerResponse): void {
    request.resume()
    const check = this.#checks.get(port)
    const [namespace = '', name = ''] = (check?.service ?? '').split('/')
    const localEndpoints = check?.localEndpoints ?? 0
    const body = JSON.stringify({
      service: { namespace, name },
      localEndpoints,
      serviceProxyHealthy: this.#isHealthy,
    })
    response.writeHead(localEndpoints > 0 && this.#isHealthy ? 200 : 503, {
      'content-type': 'application/json',
      'x-content-type-options': 'nosniff',
      'x-load-balancing-endpoint-weight': String(localEndpoints),
    })
    response.end(request.method === 'HEAD' ? undefined : body)
  }
}

function end(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}
