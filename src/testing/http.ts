import type { IncomingHttpHeaders, IncomingMessage, RequestListener, Server } from 'node:http'
import type { Socket } from 'node:net'
import type { ConnectionOptions, SecureContextOptions } from 'node:tls'
import { ValidationError } from '../errors/index.js'
import type { ConnectOptions } from '../net/index.js'

/** A server's certificate and key, in PEM. */
export interface TlsOptions extends Pick<SecureContextOptions, 'cert' | 'key' | 'ca'> {
  /** Clients must show a certificate that `ca` vouches for. */
  readonly requestCert?: boolean | undefined
}

/** One HTTP request. */
export interface FetchOptions extends Pick<ConnectOptions, 'localAddress' | 'localPort' | 'mark' | 'device'> {
  /** `GET` unless said. */
  readonly method?: string | undefined
  /** By name; `host` is made of the URL where it is left out. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** None unless said; text goes as UTF-8. */
  readonly body?: string | Uint8Array | undefined
  /** Aborting ends the connection, and rejects. */
  readonly signal?: AbortSignal | undefined
  /** For connection and answer together; 30,000 unless said (emulated kernels are slow). */
  readonly deadlineMilliseconds?: number | undefined
  /** Of https: whom to trust. */
  readonly tls?:
    Pick<ConnectionOptions, 'ca' | 'cert' | 'key' | 'rejectUnauthorized' | 'servername'> | undefined
}

/** An answer, read to its end. */
export class FetchResponse {
  /** 200, 404, … */
  readonly status: number
  /** What the server wrote behind the number: `OK`. */
  readonly statusText: string
  /** In lower case, as `node:http` has them. */
  readonly headers: IncomingHttpHeaders
  /** The body as it came; `text()` and `json()` read it. */
  readonly bytes: Uint8Array

  /** @internal */
  constructor(message: IncomingMessage, bytes: Uint8Array) {
    this.status = message.statusCode ?? 0
    this.statusText = message.statusMessage ?? ''
    this.headers = message.headers
    this.bytes = bytes
  }

  /** 200 to 299. */
  get ok(): boolean {
    return this.status >= 200 && this.status < 300
  }

  /** The body as text. */
  text(): string {
    return new TextDecoder().decode(this.bytes)
  }

  /** The body as JSON. */
  json(): unknown {
    return JSON.parse(this.text())
  }
}

/** A server that is given its connections by another one. */
export async function httpServer(handler: RequestListener, tls: TlsOptions | undefined): Promise<Server> {
  if (tls === undefined) return (await import('node:http')).createServer(handler)
  return (await import('node:https')).createServer(tls, handler)
}

/**
 * One request over a connection of its own: `fetch` itself opens its sockets outside. The modules are loaded at the
 * first request, which a program that opens no connection need not wait for.
 */
export async function fetchIn(
  input: string | URL,
  options: FetchOptions,
  connect: (target: ConnectOptions) => Promise<Socket>,
): Promise<FetchResponse> {
  const url = new URL(input)
  const isSecure = url.protocol === 'https:'
  if (!isSecure && url.protocol !== 'http:')
    throw new ValidationError('url', String(input), 'an http or https URL')
  const { localAddress, localPort, mark, device, deadlineMilliseconds = 30_000 } = options
  const until = performance.now() + deadlineMilliseconds
  const { request } = isSecure ? await import('node:https') : await import('node:http')
  const socket = await connect({
    address: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: Number(url.port || (isSecure ? 443 : 80)),
    localAddress,
    localPort,
    mark,
    device,
    deadlineMilliseconds,
    signal: options.signal,
  })
  const stream = isSecure ? (await import('node:tls')).connect({ socket, ...options.tls }) : socket
  // What becomes of the connection once the answer is there is nobody's concern.
  stream.on('error', () => undefined)
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => {
      socket.destroy()
      reject(error)
    }
    const timer = setTimeout(
      () => fail(Object.assign(new Error(`no answer from ${url.href} in time`), { code: 'ETIMEDOUT' })),
      Math.max(0, until - performance.now()),
    )
    let isAnswered = false
    const sent = request(url, {
      method: options.method ?? 'GET',
      headers: { connection: 'close', ...options.headers },
      signal: options.signal,
      // Without an agent (`agent: false` would make one, which connects by itself).
      createConnection: () => stream,
    })
    sent.on('error', fail)
    sent.on('close', () => {
      clearTimeout(timer)
      // The connection was taken for something else (101), and nobody here goes on with it.
      if (!isAnswered) fail(Object.assign(new Error(`no answer from ${url.href}`), { code: 'ECONNRESET' }))
    })
    sent.on('response', (message) => {
      isAnswered = true
      const parts: Uint8Array[] = []
      message.on('data', (part: Uint8Array) => parts.push(part))
      message.on('error', fail)
      message.on('end', () => {
        // The connection is over: nobody else uses it.
        socket.destroy()
        resolve(new FetchResponse(message, Buffer.concat(parts)))
      })
    })
    sent.end(options.body)
  })
}
