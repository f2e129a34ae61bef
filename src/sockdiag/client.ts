import type { AddressFamily } from '../address/index.js'
import {
  BatchError,
  type BatchFailure,
  isKernelError,
  isUnsupportedError,
  isValidationError,
  UnsupportedError,
  ValidationError,
} from '../errors/index.js'
import type { Netns } from '../net/index.js'
import {
  type CallOptions,
  Connection,
  NETLINK_SOCK_DIAG,
  openSocket,
  permissionHint,
  type Request,
  type StructureInput,
  type Transport,
  type Writer,
} from '../netlink/index.js'
import { matcherOf, type SocketFilter } from './filter.js'
import { processesOf } from '../processes.js'
import type { DiagSocket, OwnedSocket, SocketKey, SocketProtocol } from './socket.js'
import { attributes, everyState, message, reply, request } from './wire.js'

/** Where and how a client speaks to the kernel. */
export interface SockdiagOptions {
  /** The network namespace; the current one if left out. */
  readonly netns?: Netns | undefined
  /** Something else than the addon's socket. It is closed with the client. */
  readonly transport?: Transport | undefined
  /** How long to wait for an answer; 10,000 unless said. */
  readonly deadlineMilliseconds?: CallOptions['deadlineMilliseconds']
}

/** INET_DIAG_NOCOOKIE, twice. */
const anyCookie = 0xffff_ffff_ffff_ffffn

const families = ['ipv4', 'ipv6'] as const

/** TCP and UDP sockets of one network namespace: who has which, and ending them. Closing it closes the descriptor. */
export class Sockdiag {
  readonly #connection: Connection

  private constructor(options: SockdiagOptions) {
    const { netns, transport } = options
    this.#connection = new Connection(
      transport ?? openSocket({ protocol: NETLINK_SOCK_DIAG, netns }),
      options,
    )
  }

  /** Throws UnsupportedError if this platform has no addon. */
  // eslint-disable-next-line @typescript-eslint/require-await -- like every other client's; opening may come to wait
  static async open(options: SockdiagOptions = {}): Promise<Sockdiag> {
    return new Sockdiag(options)
  }

  /** Closes its descriptor. */
  close(): void {
    this.#connection.close()
  }

  /** The same, for `await using`. */
  // eslint-disable-next-line @typescript-eslint/require-await -- nothing of it takes time
  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }

  /**
   * The sockets that fit. Of those that are made or ended meanwhile some are left out, and of a large table also some that
   * stand behind them: the kernel counts where it was.
   * @throws KernelError ENOENT if the kernel cannot tell of the protocol (modules tcp_diag, udp_diag).
   */
  async sockets(filter: SocketFilter, options?: CallOptions): Promise<DiagSocket[]> {
    const matches = matcherOf(filter)
    const { protocol, family } = filter
    const found = await this.#connection.dumps(
      family === undefined ? families : [family],
      (each) => dumpRequest(filter, each),
      (bytes, view, offset, end): DiagSocket | undefined => {
        const record = reply.read(bytes, view, offset, end - offset, {})
        const more = attributes.decode(bytes, view, offset + reply.bytes, end)
        const socket = { protocol, ...record, ...more }
        return matches(socket) ? socket : undefined
      },
      (_, sockets) => sockets,
      options,
    )
    return once(found.flat())
  }

  /**
   * Who listens on a port, or on any if it is undefined: TCP sockets that take connections, UDP sockets that are not connected. One of IPv6 (`::`)
   * listens for IPv4, too, unless it is `ipv6Only`.
   */
  async listeners(
    port: number | undefined,
    protocol: SocketProtocol = 'tcp',
    options?: CallOptions,
  ): Promise<OwnedSocket[]> {
    const states = [protocol === 'tcp' ? ('listen' as const) : ('close' as const)]
    return this.owners(await this.sockets({ protocol, states, localPort: port }, options))
  }

  /** Sockets with the processes that hold them, found below /proc. What may not be seen there is left out. */
  async owners(sockets: readonly DiagSocket[]): Promise<OwnedSocket[]> {
    const processes = await processesOf(
      new Set(sockets.map(({ inode }) => inode).filter((inode) => inode !== 0)),
    )
    return sockets.map((socket) => ({ ...socket, processes: processes.get(socket.inode) ?? [] }))
  }

  /**
   * Ends a socket: whoever holds it gets ECONNABORTED, and of a TCP connection the other end a reset. Takes CAP_NET_ADMIN.
   * @throws KernelError ENOENT if it is not there (any more); UnsupportedError if the kernel cannot do it.
   */
  async destroy(socket: SocketKey, options?: CallOptions): Promise<void> {
    try {
      await this.#connection.execute(destroyRequest(socket), options)
    } catch (error) {
      throw supported(error)
    }
  }

  /**
   * Ends all sockets that fit, and tells how many they were: connections to a server that died are
   * `{ protocol: 'tcp', remoteAddress: '10.0.0.7' }`. Those that ended by themselves meanwhile are no failure.
   * @throws BatchError if some could not be ended; UnsupportedError if the kernel cannot do it.
   */
  async destroyMatching(filter: SocketFilter, options?: CallOptions): Promise<number> {
    const operation = 'sockdiag.destroyMatching'
    const outcome = await this.#connection.batch(
      await this.sockets(filter, options),
      {
        write: (writer, flags, sequence, socket) => destroyRequest(socket).write(writer, flags, sequence),
        target: destroyRequest,
        // Ending a connection sends a packet and wakes who waits: it may take its socket's lock.
        mayWait: () => true,
      },
      options,
    )
    const failures: BatchFailure[] = []
    for (const failure of outcome.failures) {
      const error = supported(failure.error)
      if (isUnsupportedError(error)) throw error
      if (!isKernelError(error, 'ENOENT')) failures.push(failure)
    }
    if (outcome.notSent > 0) {
      throw new BatchError(operation, outcome.applied, failures, { cause: options?.signal?.reason })
    }
    if (failures.length > 0) throw new BatchError(operation, outcome.applied, failures)
    return outcome.applied
  }
}

/** inet_diag_cmd_exact and __sock_diag_cmd answer so without CONFIG_INET_DIAG_DESTROY. */
function supported(error: unknown): unknown {
  if (!isKernelError(error, 'EOPNOTSUPP')) return error
  return new UnsupportedError('ending sockets', 'a kernel with CONFIG_INET_DIAG_DESTROY', { cause: error })
}

function dumpRequest(filter: SocketFilter, family: AddressFamily): Request {
  const { protocol, states, localPort, remotePort } = filter
  return {
    operation: 'sockdiag.sockets',
    object: filter,
    write: (writer, flags, sequence) =>
      write(writer, message.byFamily, flags, sequence, 'filter', {
        family,
        protocol,
        states: states ?? everyState,
        localPort,
        remotePort,
      }),
  }
}

function destroyRequest(socket: SocketKey): Request {
  const { family, protocol, localAddress, localPort, remoteAddress, remotePort } = socket
  return {
    operation: 'sockdiag.destroy',
    object: { protocol, localAddress, localPort, remoteAddress, remotePort },
    hint: ({ errno }) => (errno === -1 ? permissionHint : undefined),
    write: (writer, flags, sequence) =>
      write(writer, message.destroy, flags, sequence, 'socket', {
        family,
        protocol,
        localPort,
        remotePort,
        localAddress,
        remoteAddress,
        interface: socket.interface,
        cookie: socket.cookie ?? anyCookie,
      }),
  }
}

function write(
  writer: Writer,
  type: number,
  flags: number,
  sequence: number,
  path: string,
  value: StructureInput<(typeof request)['layout']>,
): void {
  const start = writer.beginMessage(type, flags, sequence)
  try {
    request.write(writer, value, {})
  } catch (error) {
    throw isValidationError(error)
      ? new ValidationError(`${path}.${error.path}`, error.value, error.expected)
      : error
  }
  writer.endMessage(start)
}

/** Each once: what is ended meanwhile shows others twice. */
function once(sockets: DiagSocket[]): DiagSocket[] {
  const seen = new Set<bigint>()
  return sockets.filter(({ cookie }) => {
    const before = seen.size
    return seen.add(cookie).size > before
  })
}
