import { setMaxListeners } from 'node:events'
import type { Socket as UdpSocket } from 'node:dgram'
import type { RequestListener } from 'node:http'
import type { Socket } from 'node:net'
import { ValidationError } from '../errors/index.js'
import {
  connectTcp,
  type ConnectOptions,
  type DatagramSocket,
  type ListenOptions,
  type NetworkNamespace,
  openRaw,
  openUdp,
  ping,
  type PingOptions,
  type PingReply,
  type RawOptions,
  readFile,
  writeFile,
} from '../net/index.js'
import type { Rtnetlink } from '../rtnetlink/index.js'
import { type FetchOptions, fetchIn, type FetchResponse, httpServer, type TlsOptions } from './http.js'
import type { HostInterface, PlannedHost } from './layout.js'
import {
  sctpInit,
  type SctpInitOptions,
  type SctpReply,
  SctpResponder,
  type SctpServeOptions,
} from './sctp.js'
import { isOpen, Served, serveTcp, serveUdp, type UdpHandler } from './serve.js'
import { sysctlPath } from './sysctl.js'

/** Where a server listens. */
export interface ServeOptions extends Omit<ListenOptions, 'netns' | 'ipv6Only' | 'reusePort'> {
  /** Numeric; every address of both families unless said. */
  readonly address?: string | undefined
  /** Any that is free unless said. */
  readonly port?: number | undefined
}

/**
 * A host of a sandbox: a network namespace, and what runs in it. What is opened through a host is closed with it.
 */
export class Host {
  /** As the sandbox was told it. */
  readonly name: string
  /** Its ends of the links, in their order. */
  readonly interfaces: readonly HostInterface[]
  /** Its namespace: what every client of this library takes as `netns`. */
  readonly netns: NetworkNamespace
  /** Its links, addresses and routes. */
  readonly rtnetlink: Rtnetlink
  readonly #open = new Set<() => void>()
  readonly #running = new Set<Promise<unknown>>()
  readonly #closing = new AbortController()

  /** @internal */
  constructor(planned: PlannedHost, netns: NetworkNamespace, rtnetlink: Rtnetlink) {
    this.name = planned.name
    this.interfaces = planned.interfaces
    this.netns = netns
    this.rtnetlink = rtnetlink
    // As many as there are connections being made at once.
    setMaxListeners(0, this.#closing.signal)
  }

  /** IPv4 address of its first link. */
  get address(): string {
    return this.#first().address
  }

  /** IPv6 address of its first link. */
  get address6(): string {
    return this.#first().address6
  }

  /** Its end of the first link that another host is on too. */
  towards(host: string): HostInterface {
    const found = this.interfaces.find(({ towards }) => towards.includes(host))
    if (found === undefined) throw new ValidationError('host', host, `a neighbour of ${this.name}`)
    return found
  }

  /** An HTTP server, an HTTPS one with `tls`. */
  async serve(
    handler: RequestListener,
    options: ServeOptions & { readonly tls?: TlsOptions | undefined } = {},
  ): Promise<Served> {
    const { tls, ...place } = options
    const server = await httpServer(handler, tls)
    const scheme = tls === undefined ? 'http' : 'https'
    return this.#keep(
      await this.#run(() =>
        serveTcp({ ...place, netns: this.netns }, (socket) => server.emit('connection', socket), scheme),
      ),
    )
  }

  /** A TCP server. Connections are closed with it. */
  async serveTcp(onConnection: (socket: Socket) => void, options: ServeOptions = {}): Promise<Served> {
    return this.#keep(await this.#run(() => serveTcp({ ...options, netns: this.netns }, onConnection, 'tcp')))
  }

  /**
   * A UDP server. It answers from the address that the route to the client has; for another one (a virtual address)
   * give that as `address`.
   */
  async serveUdp(onDatagram: UdpHandler, options: ServeOptions = {}): Promise<Served> {
    return this.#keep(await this.#run(() => serveUdp({ ...options, netns: this.netns }, onDatagram)))
  }

  /** An SCTP endpoint made by hand, for kernels without SCTP: answers INIT, with a name in the state cookie. */
  serveSctp(options: SctpServeOptions): Promise<SctpResponder> {
    return Promise.resolve(this.#keep(new SctpResponder(this.netns, options)))
  }

  /** One HTTP request over a connection of its own. Numeric addresses only: names are looked up outside. */
  fetch(url: string | URL, options: FetchOptions = {}): Promise<FetchResponse> {
    return this.#run(() =>
      fetchIn(url, { ...options, signal: this.#signal(options.signal) }, (target) => this.connect(target)),
    )
  }

  /** A TCP connection. */
  async connect(options: Omit<ConnectOptions, 'netns'>): Promise<Socket> {
    const signal = this.#signal(options.signal)
    const socket = await this.#run(() => connectTcp({ ...options, signal, netns: this.netns }))
    const end = (): void => void socket.destroy()
    this.#open.add(end)
    socket.once('close', () => this.#open.delete(end))
    return socket
  }

  /** A UDP socket, bound. */
  async udp(options: Omit<ListenOptions, 'netns'> = {}): Promise<UdpSocket> {
    const socket = await this.#run(() => openUdp({ ...options, netns: this.netns }))
    const end = (): void => {
      if (isOpen(socket)) socket.close()
    }
    this.#open.add(end)
    socket.once('close', () => this.#open.delete(end))
    return socket
  }

  /** A raw socket. Closing it is up to the caller, at the latest the host does it. */
  raw(options: Omit<RawOptions, 'netns'>): DatagramSocket {
    return this.#keep(openRaw({ ...options, netns: this.netns }))
  }

  /** One echo request. Throws ETIMEDOUT if nobody answers within 5 seconds, or the given deadline. */
  ping(address: string, options: Omit<PingOptions, 'address' | 'netns'> = {}): Promise<PingReply> {
    return this.#run(() =>
      ping({
        ...options,
        address,
        deadlineMilliseconds: options.deadlineMilliseconds ?? 5000,
        signal: this.#signal(options.signal),
        netns: this.netns,
      }),
    )
  }

  /** Sends an SCTP INIT and resolves with what answers it. */
  sctpInit(options: SctpInitOptions): Promise<SctpReply> {
    return this.#run(() => sctpInit(this.netns, { ...options, signal: this.#signal(options.signal) }))
  }

  /** A file as this host sees it: `/proc/net/…` and `/proc/sys/net/…` are its own. */
  readFile(path: string): string {
    return readFile(path, { netns: this.netns })
  }

  /** A setting of this host (`net.ipv4.ip_forward`), set to `value` if one is given. Returns what it is then. */
  sysctl(name: string, value?: string | number): string {
    if (!name.startsWith('net.')) {
      throw new ValidationError('name', name, 'a setting below net., which each host has of its own')
    }
    const path = sysctlPath(name)
    if (value !== undefined) writeFile(path, String(value), { netns: this.netns })
    return readFile(path, { netns: this.netns }).trim()
  }

  /** Ends what runs on it. The namespace itself is closed by the sandbox. @internal */
  async close(): Promise<void> {
    this.#closing.abort(new Error(`the host ${this.name} is closed`))
    for (const end of this.#open) end()
    this.#open.clear()
    await Promise.allSettled(this.#running)
    // What a request under way has opened meanwhile.
    for (const end of this.#open) end()
    // Handles tell of their end in the next turn of the event loop.
    await new Promise((resolve) => setImmediate(resolve))
  }

  #first(): HostInterface {
    const [first] = this.interfaces
    if (first === undefined) throw new ValidationError('host', this.name, 'a host with a link')
    return first
  }

  #keep<T extends { close(): unknown }>(opened: T): T {
    this.#open.add(() => void opened.close())
    return opened
  }

  /** Waited for when the host is closed. */
  async #run<T>(work: () => Promise<T>): Promise<T> {
    this.#closing.signal.throwIfAborted()
    const result = work()
    this.#running.add(result)
    try {
      return await result
    } finally {
      this.#running.delete(result)
    }
  }

  #signal(given: AbortSignal | undefined): AbortSignal {
    const own = this.#closing.signal
    return given === undefined ? own : AbortSignal.any([own, given])
  }
}
