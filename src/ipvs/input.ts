/**
 * What callers give and get, and the way to and from the wire. Everything that the kernel would accept silently and
 * could not do is refused here, before anything is sent.
 */
import { type AddressFamily, canonicalAddress, familyOf } from '../address/index.js'
import { ValidationError } from '../errors/index.js'
import { type SchedulerFlag, schedulerFacts, type SchedulerName } from './schedulers.js'
import {
  type Destination,
  destination as destinationTable,
  forwardingMethod,
  protocol,
  service as serviceTable,
  serviceFlag,
  type Statistics,
  tunnelType,
  type WireService,
} from './wire.js'
import type { Encodable, NameOf, Unknown } from '../netlink/index.js'

/** What IPVS balances. */
export type Protocol = NameOf<typeof protocol>
/** How packets reach a real server. */
export type ForwardingMethod = NameOf<typeof forwardingMethod>
/** What a packet is wrapped in. */
export type TunnelType = NameOf<typeof tunnelType>

/** A service by address, port and protocol. */
export interface AddressKey {
  /** Of the connections that are balanced. */
  readonly protocol: Protocol
  /** IPv4 or IPv6: the virtual address that clients connect to. */
  readonly address: string
  /** 0 takes every port, which needs persistence. */
  readonly port: number
  /** Of a FirewallMarkKey alone. */
  readonly firewallMark?: undefined
}

/** A service by the mark that the packet filter gives its packets. */
export interface FirewallMarkKey {
  /** 1 to 4294967295. */
  readonly firewallMark: number
  /** Of the packets: a mark has a service of its own for each. */
  readonly family: AddressFamily
  /** Of an AddressKey alone. */
  readonly protocol?: undefined
  /** Of an AddressKey alone. */
  readonly address?: undefined
  /** Of an AddressKey alone. */
  readonly port?: undefined
}

/** What names a virtual service. */
export type ServiceKey = AddressKey | FirewallMarkKey

/** What may be chosen of a service. `unknown` is what a newer kernel said of it, given back with an update. */
export interface ServiceOptions extends Unknown {
  /** `wlc` unless said. */
  readonly scheduler?: SchedulerName | undefined
  /** Switches of its scheduler; none unless said. */
  readonly schedulerFlags?: readonly SchedulerFlag[] | undefined
  /** UDP alone: each datagram is scheduled by itself. */
  readonly onePacket?: boolean | undefined
  /** How long a client stays with its server after its last connection, 1 to 2,678,400; 0: no persistence. */
  readonly persistenceTimeoutSeconds?: number | undefined
  /**
   * Which clients count as one: a prefix length (32 for IPv4 and 128 for IPv6 unless said), or an IPv4 netmask whose
   * ones are not in a row.
   */
  readonly persistenceNetmask?: number | string | undefined
  /** What else tells clients apart: `sip` (Call-ID; of UDP alone). Null takes one off that is there. */
  readonly persistenceEngine?: string | null | undefined
}

/** A service to make: its key and what may be chosen. */
export type ServiceInput = ServiceKey & ServiceOptions

/** A virtual service as the kernel has it. */
export type Service = ServiceKey &
  Unknown & {
    readonly family: AddressFamily
    readonly scheduler: string
    readonly schedulerFlags: readonly SchedulerFlag[]
    readonly onePacket: boolean
    /** 0: not persistent. */
    readonly persistenceTimeoutSeconds: number
    readonly persistenceNetmask: number | string
    readonly persistenceEngine?: string
    readonly statistics: Statistics
  }

/** What names a destination within its service. */
export interface DestinationKey {
  /** IPv4 or IPv6, of the service's family unless it is reached by a tunnel. */
  readonly address: string
  /**
   * The service's port unless said; behind a firewall mark 0, which is the one that the client asked for. A persistent
   * service by firewall mark takes that in any case.
   */
  readonly port?: number | undefined
}

/** A destination to make; what is left out: masquerade, weight 1, no thresholds. */
export interface DestinationInput extends DestinationKey, Unknown {
  /** How packets reach it; `masquerade` unless said. */
  readonly forwardingMethod?: ForwardingMethod | undefined
  /** 0 to 2147483647; 0: no new connections. */
  readonly weight?: number | undefined
  /** It gets no new connections from this many on; 0, and left out, is no limit. */
  readonly upperThreshold?: number | undefined
  /** It gets new ones again below this many; 0, and left out, is three quarters of the upper one. */
  readonly lowerThreshold?: number | undefined
  /** `ipip` unless said; for forwarding method `tunnel`. */
  readonly tunnelType?: TunnelType | undefined
  /** UDP port of GUE. */
  readonly tunnelPort?: number | undefined
  /** Of GUE and GRE, `remote-checksum` of GUE alone. */
  readonly tunnelFlags?: readonly ('checksum' | 'remote-checksum')[] | undefined
}

type WireServiceInput = Encodable<typeof serviceTable>
type Mutable<T> = { -readonly [K in keyof T]: T[K] }
/** A whole destination on its way to the wire. */
export type WireDestination = Mutable<Encodable<typeof destinationTable>> & { address: string; port: number }

/** All keys in one order from the start, so that all have one shape. */
export function newWireDestination(): WireDestination {
  return {
    address: '',
    port: 0,
    forwardingMethod: undefined,
    weight: undefined,
    upperThreshold: undefined,
    lowerThreshold: undefined,
    family: undefined,
    tunnelType: undefined,
    tunnelPort: undefined,
    tunnelFlags: undefined,
    unknown: undefined,
  }
}

const defaultScheduler = 'wlc'
const settableFlags =
  serviceFlag.persistent |
  serviceFlag.onePacket |
  serviceFlag.scheduler1 |
  serviceFlag.scheduler2 |
  serviceFlag.scheduler3
const longestPersistence = 31 * 86_400
const mostWeight = 0x7fff_ffff
const protocols: ReadonlySet<unknown> = new Set(Object.keys(protocol.names))
const tunnelTypes: ReadonlySet<unknown> = new Set(Object.keys(tunnelType.names))
const methods: ReadonlySet<unknown> = new Set(
  Object.keys(forwardingMethod.names).filter((name) => name !== 'bypass'),
)

/** The key as the wire has it. */
export function wireKey(key: ServiceKey, path = 'service'): WireServiceInput {
  if (key.firewallMark !== undefined) {
    // The types say so; callers without types need to hear it.
    const given: Readonly<Record<string, unknown>> = { ...key }
    if (given.address !== undefined || given.protocol !== undefined || given.port !== undefined) {
      throw new ValidationError(path, key, 'either a firewall mark or protocol, address and port')
    }
    if (!Number.isInteger(key.firewallMark) || key.firewallMark < 1 || key.firewallMark > 0xffff_ffff) {
      throw new ValidationError(`${path}.firewallMark`, key.firewallMark, 'an integer from 1 to 4294967295')
    }
    if (given.family !== 'ipv4' && given.family !== 'ipv6') {
      throw new ValidationError(`${path}.family`, given.family, 'ipv4 or ipv6')
    }
    return { family: key.family, firewallMark: key.firewallMark }
  }
  if (!protocols.has(key.protocol)) {
    throw new ValidationError(`${path}.protocol`, key.protocol, protocol.expected)
  }
  checkAddress(key.address, path)
  checkPort(key.port, path)
  return { family: familyOf(key.address), protocol: key.protocol, address: key.address, port: key.port }
}

/** What is done about a value that cannot work. */
export type Refuse = (path: string, value: unknown, expected: string) => void

const throwIt: Refuse = (path, value, expected) => {
  throw new ValidationError(path, value, expected)
}

/** A whole service as NEW_SERVICE and SET_SERVICE want it: what is left out gets its default. */
export function wireService(input: ServiceInput, path = 'service'): WireServiceInput {
  wireKey(input, path)
  checkService(input, path)
  return serviceRecord(input)
}

/** Everything but the key. */
export function checkService(input: ServiceInput, path = 'service', refuse = throwIt): void {
  const timeout = input.persistenceTimeoutSeconds ?? 0
  const persistent = timeout !== 0
  if (!Number.isInteger(timeout) || timeout < 0 || timeout > longestPersistence) {
    refuse(`${path}.persistenceTimeoutSeconds`, timeout, `an integer from 0 to ${longestPersistence}`)
  }
  if (input.port === 0 && !persistent) {
    refuse(
      `${path}.port`,
      0,
      'a port from 1 to 65535 (port 0, every port, works with persistence alone: set persistenceTimeoutSeconds)',
    )
  }
  if (input.onePacket === true && input.protocol !== undefined && input.protocol !== 'udp') {
    refuse(`${path}.onePacket`, true, `false: one-packet scheduling is for udp, not ${input.protocol}`)
  }
  const engine = input.persistenceEngine ?? undefined
  if (!persistent && engine !== undefined) {
    refuse(`${path}.persistenceEngine`, engine, 'none without persistence (set persistenceTimeoutSeconds)')
  }
  // Others are refused packet by packet, and so never served (ip_vs_sip_fill_param).
  if (engine === 'sip' && input.protocol !== undefined && input.protocol !== 'udp') {
    refuse(
      `${path}.persistenceEngine`,
      engine,
      `none: sip reads udp alone, and drops what is ${input.protocol}`,
    )
  }
  checkSchedulerFlags(input.schedulerFlags ?? [], input.scheduler ?? defaultScheduler, path, refuse)
}

/** As the wire has it, right or wrong. */
export function serviceRecord(input: ServiceInput): WireServiceInput {
  const { firewallMark, protocol, address, port } = input
  const timeout = input.persistenceTimeoutSeconds ?? 0
  const family = input.firewallMark === undefined ? familyOf(input.address) : input.family
  const flags =
    (timeout === 0 ? 0 : serviceFlag.persistent) |
    (input.onePacket === true ? serviceFlag.onePacket : 0) |
    schedulerBits(input.schedulerFlags ?? [])
  return {
    family,
    protocol,
    address,
    port,
    firewallMark,
    scheduler: input.scheduler ?? defaultScheduler,
    flags: { flags, mask: settableFlags },
    persistenceTimeoutSeconds: timeout,
    persistenceNetmask: input.persistenceNetmask ?? (family === 'ipv6' ? 128 : 32),
    persistenceEngine: input.persistenceEngine ?? undefined,
    unknown: input.unknown,
  }
}

const schedulerBitOf: Readonly<Record<SchedulerFlag, number>> = {
  'sh-fallback': serviceFlag.scheduler1,
  'mh-fallback': serviceFlag.scheduler1,
  'flag-1': serviceFlag.scheduler1,
  'sh-port': serviceFlag.scheduler2,
  'mh-port': serviceFlag.scheduler2,
  'flag-2': serviceFlag.scheduler2,
  'flag-3': serviceFlag.scheduler3,
}

function checkSchedulerFlags(
  flags: readonly SchedulerFlag[],
  scheduler: string,
  path: string,
  refuse: Refuse,
): void {
  for (const [index, flag] of flags.entries()) {
    const fits =
      Object.hasOwn(schedulerBitOf, flag) && (!/^[sm]h-/.test(flag) || flag.startsWith(`${scheduler}-`))
    if (fits) continue
    const own = schedulerFacts(scheduler)?.flags ?? []
    refuse(
      `${path}.schedulerFlags[${index}]`,
      flag,
      `a flag of scheduler ${scheduler}: ${[...own, 'flag-1', 'flag-2', 'flag-3'].join(', ')}`,
    )
  }
}

/** One number for all the names of the same flags. */
export function schedulerBits(flags: readonly SchedulerFlag[]): number {
  return flags.reduce((bits, flag) => bits | schedulerBitOf[flag], 0)
}

/** A service read from the wire. */
export function serviceOfWire(wire: WireService): Service {
  const { flags } = wire.flags
  const own = schedulerFacts(wire.scheduler)?.flags
  const schedulerFlags: SchedulerFlag[] = []
  if ((flags & serviceFlag.scheduler1) !== 0) schedulerFlags.push(own?.[0] ?? 'flag-1')
  if ((flags & serviceFlag.scheduler2) !== 0) schedulerFlags.push(own?.[1] ?? 'flag-2')
  if ((flags & serviceFlag.scheduler3) !== 0) schedulerFlags.push('flag-3')
  const options = {
    scheduler: wire.scheduler,
    schedulerFlags,
    onePacket: (flags & serviceFlag.onePacket) !== 0,
    persistenceTimeoutSeconds: (flags & serviceFlag.persistent) !== 0 ? wire.persistenceTimeoutSeconds : 0,
    persistenceNetmask: wire.persistenceNetmask,
    ...(wire.persistenceEngine === undefined ? {} : { persistenceEngine: wire.persistenceEngine }),
    statistics: wire.statistics,
    ...(wire.unknown === undefined ? {} : { unknown: wire.unknown }),
  }
  const family = wire.family
  if (wire.firewallMark !== undefined && wire.firewallMark !== 0) {
    return { firewallMark: wire.firewallMark, family, ...options }
  }
  return {
    protocol: wire.protocol as Protocol,
    address: wire.address ?? '',
    port: wire.port ?? 0,
    family,
    ...options,
  }
}

/** The key of a destination as the wire has it. */
export function wireDestinationKey(
  service: ServiceKey,
  key: DestinationKey,
  path = 'destination',
): { readonly address: string; readonly port: number; readonly family: AddressFamily } {
  checkAddress(key.address, path)
  const port = key.port ?? service.port ?? 0
  checkPort(port, path)
  return { address: key.address, port, family: familyOf(key.address) }
}

/** A whole destination as NEW_DEST and SET_DEST want it: what is left out gets its default. */
export function wireDestination(
  service: ServiceKey,
  input: DestinationInput,
  path = 'destination',
  wire = newWireDestination(),
): WireDestination {
  const key = wireDestinationKey(service, input, path)
  checkDestination(service, input, key, path)
  return destinationRecord(key, input, wire)
}

type WireDestinationKey = ReturnType<typeof wireDestinationKey>

/** Everything but the key. */
export function checkDestination(
  service: ServiceKey,
  input: DestinationInput,
  { port, family }: WireDestinationKey,
  path = 'destination',
  refuse = throwIt,
): void {
  const method = input.forwardingMethod ?? 'masquerade'
  const weight = input.weight ?? 1
  const upperThreshold = input.upperThreshold ?? 0
  const lowerThreshold = input.lowerThreshold ?? 0
  if (!methods.has(method)) {
    refuse(`${path}.forwardingMethod`, method, 'masquerade, direct-route, tunnel or local')
  }
  if (!Number.isInteger(weight) || weight < 0 || weight > mostWeight) {
    refuse(`${path}.weight`, weight, `an integer from 0 to ${mostWeight}`)
  }
  if (lowerThreshold > upperThreshold) {
    refuse(`${path}.lowerThreshold`, lowerThreshold, `at most the upper threshold, ${upperThreshold}`)
  }
  const tunnel = method === 'tunnel'
  if (method !== 'masquerade' && service.port !== undefined && service.port !== port) {
    refuse(
      `${path}.port`,
      port,
      `the service's port ${service.port}: ${method} hands packets on as they are, so the port cannot change`,
    )
  }
  // Persistence rewrites the port only where it is the service's (ip_vs_sched_persist), and no packet has port 0.
  if (method === 'masquerade' && service.port === 0 && port !== 0) {
    refuse(`${path}.port`, port, '0: a service of every port keeps the port that the client asked for')
  }
  if (
    !tunnel &&
    family !== (service.firewallMark === undefined ? familyOf(service.address) : service.family)
  ) {
    refuse(
      `${path}.forwardingMethod`,
      method,
      `tunnel: an ${family} destination of a service of the other family is reached by tunnelling alone`,
    )
  }
  if (tunnel) checkTunnel(input, path, refuse)
  else checkNoTunnel(input, method, path, refuse)
}

function checkNoTunnel(input: DestinationInput, method: string, path: string, refuse: Refuse): void {
  const { tunnelType, tunnelPort, tunnelFlags } = input
  if (tunnelType === undefined && tunnelPort === undefined && tunnelFlags === undefined) return
  for (const [key, value] of Object.entries({ tunnelType, tunnelPort, tunnelFlags })) {
    if (value !== undefined) refuse(`${path}.${key}`, value, `none with forwarding method ${method}`)
  }
}

function checkTunnel(input: DestinationInput, path: string, refuse: Refuse): void {
  const type = input.tunnelType ?? 'ipip'
  if (!tunnelTypes.has(type)) refuse(`${path}.tunnelType`, type, tunnelType.expected)
  if (type === 'gue' ? !((input.tunnelPort ?? 0) > 0) : (input.tunnelPort ?? 0) !== 0) {
    refuse(
      `${path}.tunnelPort`,
      input.tunnelPort,
      type === 'gue' ? 'the UDP port of GUE, 1 to 65535' : `none with tunnel type ${type}`,
    )
  }
  const stray = input.tunnelFlags?.find((flag) => type === 'ipip' || (type === 'gre' && flag !== 'checksum'))
  if (stray !== undefined) {
    const expected = type === 'ipip' ? 'none with tunnel type ipip' : 'checksum alone with tunnel type gre'
    refuse(`${path}.tunnelFlags`, input.tunnelFlags, expected)
  }
}

/** As the wire has it, right or wrong, written into `wire`. */
export function destinationRecord(
  { address, port, family }: WireDestinationKey,
  input: DestinationInput,
  wire = newWireDestination(),
): WireDestination {
  const tunnel = input.forwardingMethod === 'tunnel'
  wire.address = address
  wire.port = port
  wire.forwardingMethod = input.forwardingMethod ?? 'masquerade'
  wire.weight = input.weight ?? 1
  wire.upperThreshold = input.upperThreshold ?? 0
  wire.lowerThreshold = input.lowerThreshold ?? 0
  wire.family = family
  wire.tunnelType = tunnel ? (input.tunnelType ?? 'ipip') : undefined
  wire.tunnelPort = tunnel ? (input.tunnelPort ?? 0) : undefined
  wire.tunnelFlags = tunnel ? (input.tunnelFlags ?? []) : undefined
  wire.unknown = input.unknown
  return wire
}

// The path is put together where it is needed: these run for every command of a batch.
function checkAddress(address: unknown, path: string): void {
  // The codec parses it in full; here only what would make the checks before it meaningless.
  if (typeof address !== 'string' || address.length === 0) {
    throw new ValidationError(`${path}.address`, address, 'an IPv4 or IPv6 address as text')
  }
}

function checkPort(port: unknown, path: string): void {
  if (typeof port !== 'number' || !Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new ValidationError(`${path}.port`, port, 'an integer from 0 to 65535')
  }
}

/** One text for each service, the same for every spelling of its address: `tcp 192.0.2.10:80`, `mark 7 ipv4`. */
export function serviceId(key: ServiceKey): string {
  if (key.firewallMark !== undefined) return `mark ${key.firewallMark} ${key.family}`
  const address = canonicalAddress(key.address) ?? key.address
  return `${key.protocol} ${address.includes(':') ? `[${address}]` : address}:${key.port}`
}

/** One text for each destination of a service: `10.0.0.7:80`. */
export function destinationId(service: ServiceKey, key: DestinationKey): string {
  const address = canonicalAddress(key.address) ?? key.address
  const port = key.port ?? service.port ?? 0
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}

/** The key alone of a service that was read or given. */
export function keyOf(service: ServiceKey & { readonly family?: AddressFamily | undefined }): ServiceKey {
  return service.firewallMark !== undefined
    ? { firewallMark: service.firewallMark, family: service.family }
    : { protocol: service.protocol, address: service.address, port: service.port }
}

/** What was read, as input for an update that keeps it. */
export function serviceInputOf(service: Service): ServiceInput {
  return {
    ...keyOf(service),
    scheduler: service.scheduler,
    schedulerFlags: service.schedulerFlags,
    onePacket: service.onePacket,
    persistenceTimeoutSeconds: service.persistenceTimeoutSeconds,
    persistenceNetmask: service.persistenceNetmask,
    persistenceEngine: service.persistenceEngine,
    unknown: service.unknown,
  }
}

/** What was read, as input for an update that keeps it. */
export function destinationInputOf(read: Destination): DestinationInput {
  const method = read.forwardingMethod
  return {
    address: read.address,
    port: read.port,
    forwardingMethod: method,
    weight: read.weight,
    upperThreshold: read.upperThreshold,
    lowerThreshold: read.lowerThreshold,
    unknown: read.unknown,
    ...(method === 'tunnel' && {
      tunnelType: read.tunnelType,
      tunnelPort: read.tunnelPort,
      tunnelFlags: read.tunnelFlags,
    }),
  }
}
