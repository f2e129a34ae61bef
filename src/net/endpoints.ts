import { parseAddress } from '../address/index.js'
import { ValidationError } from '../errors/index.js'
import { loadNative, type NativeSocketOptions } from '../native.js'
import { attempt } from './failure.js'
import { describeNetns, type Netns, withNamespaceFd } from './namespace.js'

/** What every socket takes. */
export interface SocketOptions {
  /** The network namespace; the current one if left out. */
  readonly netns?: Netns | undefined
  /** Firewall mark of what it sends (SO_MARK). Takes CAP_NET_ADMIN. */
  readonly mark?: number | undefined
  /** Name of the interface that it is bound to (SO_BINDTODEVICE). */
  readonly device?: string | undefined
  /** Takes addresses that are not this host's (IP_TRANSPARENT). Takes CAP_NET_ADMIN. */
  readonly transparent?: boolean | undefined
  /** Binds to an address that is not there yet (IP_FREEBIND). */
  readonly freebind?: boolean | undefined
}

/** Address families, as socket(2) has them. */
export const AF_INET = 2
export const AF_INET6 = 10
export const AF_PACKET = 17
export const SOCK_STREAM = 1
export const SOCK_DGRAM = 2
export const SOCK_RAW = 3

export interface Endpoint {
  readonly bytes: Uint8Array
  readonly family: typeof AF_INET | typeof AF_INET6
}

/** Numeric addresses alone: names are looked up by threads that are outside the namespace. */
export function endpoint(path: string, address: string): Endpoint {
  const bytes = parseAddress(address)
  if (bytes === undefined) {
    throw new ValidationError(path, address, 'a numeric IPv4 or IPv6 address (names are not looked up)')
  }
  return { bytes, family: bytes.length === 4 ? AF_INET : AF_INET6 }
}

export function checkPort(path: string, port: number): number {
  if (Number.isInteger(port) && port >= 0 && port <= 65_535) return port
  throw new ValidationError(path, port, 'an integer from 0 to 65535')
}

/** Opens a descriptor in the namespace; a failure names the operation and its object. */
export function openIn(
  operation: string,
  object: object,
  options: SocketOptions,
  own: Omit<NativeSocketOptions, 'mark' | 'device' | 'transparent' | 'freebind'>,
  told: Readonly<Record<string, string>> = hints,
): number {
  const { netns, mark, device, transparent, freebind } = options
  if (mark !== undefined && !(Number.isInteger(mark) && mark >= 0 && mark <= 0xffff_ffff)) {
    throw new ValidationError('mark', mark, 'an integer from 0 to 4294967295')
  }
  if (device !== undefined && !/^[^/\s\0]{1,15}$/.test(device)) {
    throw new ValidationError('device', device, 'the name of an interface, of at most 15 bytes')
  }
  return attempt(operation, netns === undefined ? object : { ...object, ...describeNetns(netns) }, told, () =>
    withNamespaceFd(netns, (fd) =>
      loadNative().openSocket(fd, { ...own, mark, device, transparent, freebind }),
    ),
  )
}

export const hints: Readonly<Record<string, string>> = {
  EPERM: 'Marks, transparent and raw sockets take CAP_NET_ADMIN or CAP_NET_RAW; namespaces CAP_SYS_ADMIN',
  EADDRNOTAVAIL: 'No interface of this namespace has this address (transparent and freebind do without)',
  ENODEV: 'There is no interface of this name in this namespace',
  ENETUNREACH: 'This namespace has no route there',
  EHOSTUNREACH: 'Nobody answers for this address on the link',
  EAFNOSUPPORT: 'This kernel, or this namespace, has no such address family',
}

const privilegedPort = 'ports below net.ipv4.ip_unprivileged_port_start take CAP_NET_BIND_SERVICE'
const prohibited = 'A route or rule of this namespace prohibits it'

/** EACCES means something else to each of them. */
export const listenHints = { ...hints, EACCES: `Here, ${privilegedPort}` }
export const connectHints = { ...hints, EACCES: `${prohibited}; as \`localPort\`, ${privilegedPort}` }
export const sendHints = { ...hints, EACCES: `${prohibited}, or the address is a broadcast address` }
export const pingHints = {
  ...hints,
  EACCES: 'net.ipv4.ping_group_range of this namespace holds no group of this process',
}
