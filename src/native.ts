/**
 * The only file that loads the addon, and only at the first call: importing works on any platform.
 *
 * The interfaces below are the contract between `native/*.c` and the house. The addon knows descriptors, message
 * headers and namespaces; it knows no attribute. What it throws is an `Error` with `code` ('EPERM'), `errno`
 * (negative) and `syscall`; the callers add operation, object and a hint.
 */

import { closeSync, existsSync, openSync, readSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { UnsupportedError } from './errors/index.js'

/** How an exchange decides that it is finished. */
export const ExchangeKind = {
  /** One `sendmsg` for all messages; done when the last message that carries NLM_F_ACK is answered by NLMSG_ERROR. */
  batch: 0,
  /** Each message is a dump: sent alone and read until NLMSG_DONE or NLMSG_ERROR, one after the other. */
  dumps: 1,
  /** One `sendmsg` for all messages, and whatever was answered inside it: nothing is waited for. */
  atomic: 2,
} as const

export interface NativeNetlinkOptions {
  /** NETLINK_GENERIC, NETLINK_ROUTE, … */
  readonly protocol: number
  /** Descriptor of a network namespace, or -1 for the current one. */
  readonly netnsFd: number
  /** Bytes; SO_RCVBUFFORCE, or SO_RCVBUF where that is not permitted. 0 leaves the default. */
  readonly receiveBufferBytes: number
  readonly sendBufferBytes: number
  /** NETLINK_GET_STRICT_CHK. EXT_ACK and CAP_ACK are always asked for. */
  readonly strictChecking: boolean
}

export interface NativeReplies {
  readonly bytes: Uint8Array
  /** ENOBUFS was seen: the kernel dropped replies, what they said is unknown. */
  readonly lost: boolean
}

export interface NativeNetlinkSocket {
  readonly fd: number
  readonly portId: number
  /** Where `exchangeSync` leaves replies. Valid until the next call. */
  readonly receiveBuffer: Uint8Array
  /**
   * Sends `request[0, length)` with one `sendmsg` (dumps one after the other) and receives on this thread until it is settled.
   * Returns the number of reply bytes in `receiveBuffer`, or `-1 - bytes` if replies were lost (ENOBUFS). More than
   * `receiveBuffer.length`: the whole is had from `takeOverflow()`. Throws ETIMEDOUT, EMSGSIZE, EBADF, EBUSY (an
   * asynchronous exchange is in flight, or the socket is receiving events).
   */
  exchangeSync(request: Uint8Array, length: number, kind: number, timeoutMilliseconds: number): number
  takeOverflow(): Uint8Array
  /**
   * The same on a thread of its own, for either kind; one at a time (EBUSY). The request is copied. When the socket is
   * closed meanwhile, a dump rejects with ECANCELED, and so does a batch that was not sent yet (`syscall` is sendmsg) or
   * not answered (recv); one that the kernel has answered is told all the same.
   *
   * Replies that fit `into`, but for room for a datagram more, are a part of it. Until it is settled, that memory is the
   * thread's: it may not be read, written or given away.
   */
  exchange(
    request: Uint8Array,
    length: number,
    kind: number,
    timeoutMilliseconds: number,
    into?: Uint8Array,
  ): Promise<NativeReplies>
  joinGroup(group: number): void
  leaveGroup(group: number): void
  /**
   * Delivers datagrams of multicast groups through `uv_poll`. `errno` is 0, or -ENOBUFS (then `bytes` is empty: events
   * were lost, receiving goes on; told when all that was queued has been delivered, so that reading the state anew misses
   * nothing), or another negative number, after which receiving has stopped. A listener that throws becomes an
   * uncaughtException and receiving goes on.
   */
  startReceiving(listener: (errno: number, bytes: Uint8Array) => void): void
  stopReceiving(): void
  close(): void
}

export interface NativeSocketOptions {
  /** AF_INET 2, AF_INET6 10, AF_PACKET 17. */
  readonly family: number
  /** SOCK_STREAM 1, SOCK_DGRAM 2, SOCK_RAW 3. Always made non-blocking and close-on-exec. */
  readonly type: number
  readonly protocol: number
  readonly mark?: number | undefined
  readonly device?: string | undefined
  readonly transparent?: boolean | undefined
  readonly freebind?: boolean | undefined
  readonly reuseAddress?: boolean | undefined
  readonly reusePort?: boolean | undefined
  readonly v6Only?: boolean | undefined
  /** IP_HDRINCL / IPV6_HDRINCL. */
  readonly headerIncluded?: boolean | undefined
  /** IPV6_RECVPKTINFO and IPV6_RECVHOPLIMIT: `startReceiving` tells `destination` and `hopLimit`. IPv6 alone. */
  readonly receiveArrival?: boolean | undefined
  /** IP_RECVERR: ICMP errors of every kind are errors of the socket. */
  readonly receiveErrors?: boolean | undefined
  /** 4 or 16 bytes; left out, the socket is bound only if `bindPort` is given. */
  readonly bindAddress?: Uint8Array | undefined
  readonly bindPort?: number | undefined
  /** For packet sockets: bind to this interface. */
  readonly interfaceIndex?: number | undefined
  readonly listenBacklog?: number | undefined
  /** Starts a non-blocking connect; wait with `waitWritable`. */
  readonly connectAddress?: Uint8Array | undefined
  readonly connectPort?: number | undefined
}

/** A datagram socket that `node:dgram` cannot hold: raw, packet, ping. Owns the descriptor that it is given. */
export interface NativeDatagramSocket {
  readonly fd: number
  /** After an error that passes (ECONNREFUSED, ENETDOWN, EMSGSIZE, …) it goes on; after others it has stopped. */
  readonly receiving: boolean
  /** `address` is 4 or 16 bytes; undefined on a connected socket; for packet sockets 6 bytes of MAC. */
  send(bytes: Uint8Array, address?: Uint8Array, port?: number, interfaceIndex?: number): number
  startReceiving(
    listener: (
      errno: number,
      bytes: Uint8Array,
      address: Uint8Array,
      port: number,
      interfaceIndex: number,
      destination?: Uint8Array,
      hopLimit?: number,
    ) => void,
  ): void
  stopReceiving(): void
  /** MCAST_JOIN_GROUP: 4 or 16 bytes, on the interface of this index. */
  joinGroup(group: Uint8Array, interfaceIndex: number): void
  /** MCAST_LEAVE_GROUP. */
  leaveGroup(group: Uint8Array, interfaceIndex: number): void
  close(): void
}

/** Many TCP connects at once. It keeps the process alive while any is under way. */
export interface NativeTcpConnector {
  /**
   * Begins them: whole requests of 72 bytes, at most 1,024, as src/net/connector.ts writes them. Returns the results of those
   * that have failed already, in the form in which the listener gets those of the others: 16 bytes each.
   */
  connect(netnsFd: number, requests: Uint8Array): Uint8Array | undefined
  /** Gives one up; nothing is told of it. Nothing if there is none of this id. */
  cancel(id: number): void
  /** Gives all up. */
  close(): void
}

/**
 * A bound UDP socket that answers by the batch. Owns the descriptor that it is given, and the memory it is lent as long as it
 * lives: 64 slots of 1,536 bytes for what is received, 64 of 28 for who sent it (a `sockaddr`), 64 rows of 4 words, and any
 * amount for what is sent.
 */
export interface NativeUdpServer {
  /** That it is bound to; 0 when it is closed. */
  readonly port: number
  /** After an error that passes it goes on; after others it has stopped. */
  readonly receiving: boolean
  /** `errno` is 0 and so many slots are filled; the first word of each row says how many bytes, 0 for one that was too long. */
  startReceiving(listener: (errno: number, count: number) => void): void
  /** Sends what the first rows say: the slot whose sender gets it, and offset and length of the bytes. */
  send(count: number): void
  /** Sends bytes to a sender whose 28 bytes were kept. */
  sendTo(bytes: Uint8Array, peer: Uint8Array): void
  close(): void
}

/**
 * What `native/` exports. Every function with a `netnsFd` enters that namespace on a short-lived thread; -1 is here.
 *
 * A descriptor that it returns is lent: the addon closes it when the thread of JavaScript ends, unless it was closed,
 * released or taken over by a DatagramSocket before.
 */
export interface NativeAddon {
  readonly NetlinkSocket: new (options: NativeNetlinkOptions) => NativeNetlinkSocket
  readonly DatagramSocket: new (fd: number) => NativeDatagramSocket
  readonly TcpConnector: new (listener: (results: Uint8Array) => void) => NativeTcpConnector
  readonly UdpServer: new (
    fd: number,
    received: Uint8Array,
    peers: Uint8Array,
    rows: Uint8Array,
    sent: Uint8Array,
  ) => NativeUdpServer
  openSocket(netnsFd: number, options: NativeSocketOptions): number
  /** Resolves when a non-blocking connect is through, rejects with its error (SO_ERROR) or ETIMEDOUT. Closes nothing. */
  waitWritable(fd: number, timeoutMilliseconds: number): Promise<void>
  /** Makes a pending `waitWritable` of this descriptor reject with ECANCELED. */
  cancelWait(fd: number): void
  /** open(2) with O_CLOEXEC inside the namespace: /proc/net and /proc/sys/net follow the thread that opens. */
  openFile(netnsFd: number, path: string, flags: number): number
  /**
   * Reads on a thread until so many bytes are there or the file ends: a file below /proc is handed out a page at a time.
   * No bytes are the end. Regular files alone (EINVAL). The descriptor must stay open until it is settled.
   */
  readSome(fd: number, bytes: number): Promise<Uint8Array>
  /** A new network namespace, made by unshare(CLONE_NEWNET) on a short-lived thread; the descriptor holds it. */
  createNamespace(): number
  /** mount --bind of a descriptor's file onto an existing path. */
  bindMount(fd: number, path: string): void
  /** Bind mount of a folder on itself, made shared, as iproute2 does with /run/netns. */
  shareMount(path: string): void
  /** umount2(path, MNT_DETACH). */
  unmount(path: string): void
  /**
   * It is somebody else's from here on, as libuv's or the user's. To be called before it is handed over: a worker may be
   * ended in between, and closing a number twice may close another's descriptor.
   */
  releaseDescriptor(fd: number): void
  /**
   * What the addon opened is closed by this and not by node:fs, which warns in worker threads of descriptors that it did
   * not open itself.
   */
  closeDescriptor(fd: number): void
}

let loaded: NativeAddon | undefined

/**
 * The addon, loaded at the first call. Throws an UnsupportedError where there is none for this platform, with the
 * command that builds it.
 */
export function loadNative(): NativeAddon {
  return (loaded ??= load())
}

function load(): NativeAddon {
  if (process.platform !== 'linux') {
    // No command is named: it would fail there.
    throw new UnsupportedError(
      'netlink',
      `Linux (this is ${process.platform}, where the addon cannot be built)`,
    )
  }
  const target = `${process.platform}-${process.arch}-${cLibrary()}`
  // From dist/src: the same place in the repository and in the installed package.
  const file = fileURLToPath(new URL(`../../prebuilt/${target}/viaduct.node`, import.meta.url))
  if (!existsSync(file)) {
    throw new UnsupportedError(`the addon for ${target}`, buildHint)
  }
  try {
    return createRequire(import.meta.url)(file) as NativeAddon
  } catch (cause) {
    throw new UnsupportedError(`the addon ${file} does not load: it`, buildHint, { cause })
  }
}

const buildHint =
  'to be built once, with a C compiler: `node node_modules/viaduct/scripts/build-addon.mjs` ' +
  '(in a checkout: `node scripts/build-addon.mjs`)'

/**
 * From the loader that the Node binary names: its path stands in the first page (PT_INTERP). After an update the binary
 * that runs may have no path any more, and is still to be had from /proc.
 */
function cLibrary(): 'glibc' | 'musl' {
  for (const binary of [process.execPath, '/proc/self/exe']) {
    try {
      return firstPage(binary).includes('/ld-musl-') ? 'musl' : 'glibc'
    } catch {
      // The next one, or what is the most usual.
    }
  }
  return 'glibc'
}

function firstPage(file: string): Buffer {
  const page = Buffer.alloc(4096)
  const fd = openSync(file, 'r')
  try {
    readSync(fd, page, 0, page.length, 0)
  } finally {
    closeSync(fd)
  }
  return page
}
