/**
 * The control socket: HTTP over a Unix socket, which only this user and root may open. Whoever asks is believed, and what is sent is
 * still read as hostile: sizes, connections and times are limited.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { lstat, mkdir, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import path from 'node:path'
import { parseAddress } from '../address/index.js'
import { isObject } from '../model/reading.js'
import { isValidationError, ValidationError } from '../errors/index.js'
import { isSystemError } from '../errors/system.js'
import { toJson } from '../json.js'
import type { ServiceProtocol } from '../model/index.js'
import type { Agent } from './agent.js'

export const defaultSocket = '/run/viaduct/control.sock'

const mostBodyBytes = 64 * 1024
const mostConnections = 64
/** `sun_path` of unix(7), without the byte at its end. */
const mostPathBytes = 107
const slowestMilliseconds = 5000

type Route = (agent: Agent, question: URLSearchParams, body: unknown) => unknown

const routes: Readonly<Record<string, Route>> = {
  'GET /v1/status': (agent) => agent.views.status(),
  'GET /v1/services': (agent) => agent.views.services(),
  'GET /v1/endpoints': (agent) => agent.views.endpoints(),
  'GET /v1/nodes': (agent) => agent.views.nodes(),
  'GET /v1/service': (agent, question) =>
    agent.views.describe(question.get('namespace') ?? 'default', question.get('name') ?? ''),
  'GET /v1/explain': (agent, question) => agent.views.explain(readQuestion(question)),
  'GET /v1/connections': async (agent, question) => ({
    connections: await agent.connectionsOf(question.get('server')),
  }),
  'POST /v1/drain': async (agent, _, body) => {
    const services = agent.drain(serverOf(body))
    await agent.settled()
    return { services }
  },
  'POST /v1/undrain': async (agent, _, body) => {
    const services = agent.undrain(serverOf(body))
    await agent.settled()
    return { services }
  },
}

export class ControlServer {
  readonly #server: Server

  private constructor(server: Server) {
    this.#server = server
  }

  /**
   * @param current  Asked for each request.
   * @throws ValidationError if another process answers there, or something else than a socket is; what the system says
   */
  static async listen(socket: string, current: () => Agent | undefined): Promise<ControlServer> {
    if (Buffer.byteLength(socket) > mostPathBytes)
      throw new ValidationError('control.socket', socket, `a path of at most ${mostPathBytes} bytes`)
    await mkdir(path.dirname(socket), { recursive: true, mode: 0o755 })
    await removeStale(socket)
    const server = createServer({ maxHeaderSize: 8 * 1024 }, (request, response) => {
      void answer(current(), request, response)
    })
    server.maxConnections = mostConnections
    server.requestTimeout = slowestMilliseconds
    server.headersTimeout = slowestMilliseconds
    server.keepAliveTimeout = slowestMilliseconds
    server.maxRequestsPerSocket = 1000
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      // It is nobody else's from the first moment on. The call binds it, and nothing else is made meanwhile: the mask is the process's.
      const mask = process.umask(0o177)
      try {
        server.listen(socket, resolve)
      } finally {
        process.umask(mask)
      }
    })
    return new ControlServer(server)
  }

  /** Closes it, which takes the socket away. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve())
      this.#server.closeAllConnections()
    })
  }
}

/** Left by a process that was killed. */
async function removeStale(socket: string): Promise<void> {
  const found = await lstat(socket).catch((error: unknown) => {
    if (!isSystemError(error) || error.code !== 'ENOENT') throw error
  })
  if (found === undefined) return
  if (!found.isSocket())
    throw new ValidationError('control.socket', socket, 'a socket, or nothing: something else is there')
  const answers = await new Promise<boolean>((resolve, reject) => {
    const connection = connect(socket)
    connection.once('connect', () => {
      connection.destroy()
      resolve(true)
    })
    connection.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED') resolve(false)
      else if (error.code === 'ENOENT') resolve(false)
      else reject(error)
    })
  })
  if (answers)
    throw new ValidationError(
      'control.socket',
      socket,
      'one that no other process answers at: stop that one first',
    )
  await rm(socket, { force: true })
}

async function answer(
  agent: Agent | undefined,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  // Whoever goes in the middle of it is nobody's concern.
  response.on('error', () => undefined)
  try {
    const url = new URL(request.url ?? '/', 'http://viaduct')
    const route = Object.hasOwn(routes, `${request.method} ${url.pathname}`)
      ? routes[`${request.method} ${url.pathname}`]
      : undefined
    if (route === undefined)
      return send(response, 404, { error: `there is no ${request.method} ${url.pathname}` })
    if (agent === undefined) return send(response, 503, { error: 'it is starting, or stopping' })
    const body = request.method === 'POST' ? await bodyOf(request) : undefined
    send(response, 200, await route(agent, url.searchParams, body))
  } catch (error) {
    if (isValidationError(error)) return send(response, 400, { error: error.message })
    send(response, 500, { error: error instanceof Error ? error.message : String(error) })
  }
}

function send(response: ServerResponse, status: number, value: unknown): void {
  const text = `${toJson(value)}\n`
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(text)
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const pieces: Uint8Array[] = []
  let length = 0
  for await (const piece of request as AsyncIterable<Uint8Array>) {
    length += piece.length
    if (length > mostBodyBytes) throw new ValidationError('body', length, `at most ${mostBodyBytes} bytes`)
    pieces.push(piece)
  }
  const text = Buffer.concat(pieces).toString()
  try {
    return JSON.parse(text) as unknown
  } catch {
    throw new ValidationError('body', text.slice(0, 80), 'JSON')
  }
}

function serverOf(body: unknown): unknown {
  if (!isObject(body)) throw new ValidationError('body', body, 'an object with the server')
  return body['server']
}

function readQuestion(question: URLSearchParams) {
  const address = question.get('address') ?? ''
  const port = Number(question.get('port') ?? '')
  const protocol = question.get('protocol') ?? 'tcp'
  const from = question.get('from') ?? undefined
  if (parseAddress(address) === undefined)
    throw new ValidationError('address', address, 'an IPv4 or IPv6 address')
  if (!Number.isInteger(port) || port < 1 || port > 65_535)
    throw new ValidationError('port', question.get('port'), 'a port from 1 to 65535')
  if (!['tcp', 'udp', 'sctp'].includes(protocol))
    throw new ValidationError('protocol', protocol, 'tcp, udp or sctp')
  if (from !== undefined && from !== 'node' && parseAddress(from) === undefined)
    throw new ValidationError('from', from, 'an address, or `node`')
  return { address, port, protocol: protocol as ServiceProtocol, from }
}
