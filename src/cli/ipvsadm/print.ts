/** What ipvsadm prints, from what the kernel says: text alone, nothing is asked for here. */
import { forwardingMethods } from '../../ipvs/proc.js'
import { serviceFlag, type Statistics } from '../../ipvs/wire.js'
import { type Decoded, hostIsLittleEndian } from '../../netlink/index.js'
import type { daemon as daemonTable, top } from '../../ipvs/wire.js'
import type { Format } from './command.js'
import type { KernelInfo } from './kernel.js'
import { AF_INET6, type ListedDestination, type ListedService } from './listed.js'
import { addressText, dotted, signed, type Words } from './text.js'

/** `192.0.2.1:80`, or with names. The address begins at `words[at]`. */
export type EndpointText = (
  words: Words,
  at: number,
  isIPv6: boolean,
  port: number,
  protocol: number,
) => string

export const numericEndpoint: EndpointText = (words, at, isIPv6, port) =>
  endpointText(addressText(words, at, isIPv6), isIPv6, String(port))

/** At most 59 characters, which is what ipvsadm has room for. */
export function endpointText(host: string, isIPv6: boolean, port: string): string {
  return (isIPv6 ? `[${host}]:${port}` : `${host}:${port}`).slice(0, 59)
}

const protocolNames: Readonly<Record<number, string>> = { 6: 'TCP', 17: 'UDP', 132: 'SCTP' }
const protocolOptions: Readonly<Record<number, string>> = { 6: '-t', 17: '-u', 132: '--sctp-service' }
const forwardingOptions = ['-m', '-g', '-i', '-g']
const tunnel = 2
const tunnelNames = ['ipip', 'gue', 'gre']
const tunnelFlagNames = ['-c', '+c', 'r+c', 'r+c']
const tunnelFlagOptions = ['--tun-nocsum', '--tun-csum', '--tun-remcsum', '--tun-csum --tun-remcsum']

export function versionText(version: number): string {
  return `${(version >> 16) & 255}.${(version >> 8) & 255}.${version & 255}`
}

export function banner({ version, connectionTableSize }: KernelInfo): string {
  return `IP Virtual Server version ${versionText(version)} (size=${connectionTableSize})\n`
}

/** The columns' headings: two lines. */
export function title(format: Format): string {
  const wide = 'Prot LocalAddress:Port'.padEnd(33)
  const columns = (names: readonly string[], widths: readonly number[]): string =>
    `${wide} ${names.map((name, index) => name.padEnd(widths[index]!)).join(' ')}\n  -> RemoteAddress:Port\n`
  if (format.stats) return `${wide}    Conns   InPkts  OutPkts  InBytes OutBytes\n  -> RemoteAddress:Port\n`
  if (format.rate) return `${wide}      CPS    InPPS   OutPPS    InBPS   OutBPS\n  -> RemoteAddress:Port\n`
  if (format.thresholds)
    return columns(['Uthreshold', 'Lthreshold', 'ActiveConn', 'InActConn'], [10, 10, 10, 10])
  if (format.persistentConn)
    return columns(['Weight', 'PersistConn', 'ActiveConn', 'InActConn'], [9, 11, 10, 10])
  return (
    'Prot LocalAddress:Port Scheduler Flags\n' +
    (format.tunInfo
      ? '  -> RemoteAddress:Port           Forward TunnelInfo    Weight ActiveConn InActConn\n'
      : '  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn\n')
  )
}

/** `TCP  192.0.2.1:80`, `FWM  7 IPv6`. A mark above 2^31 is shown negative, as ipvsadm has it. */
function serviceText(service: ListedService, name: EndpointText): string {
  const isIPv6 = service.family === AF_INET6
  if (service.firewallMark !== undefined) {
    return `FWM  ${signed(service.firewallMark)}${isIPv6 ? ' IPv6' : ''}`
  }
  const text = `${(protocolNames[service.protocol!] ?? '?').padEnd(4)} ${serviceEndpoint(service, name)}`
  return isIPv6 ? text : text.slice(0, 33)
}

function serviceEndpoint(service: ListedService, name: EndpointText): string {
  return name(service.address!, 0, service.family === AF_INET6, service.port!, service.protocol!)
}

export function serviceLine(service: ListedService, format: Format, name: EndpointText): string {
  const text = serviceText(service, name)
  if (format.stats) return `${text.padEnd(33)}${counters(service.statistics, format)}\n`
  if (format.rate) {
    const { statistics } = service
    return `${text.padEnd(33)}${rates(statistics)
      .map((rate) => largeNumber(rate, format.exact))
      .join('')}\n`
  }
  const { flags } = service.flags
  let line = `${text} ${service.scheduler}`
  if ((flags & schedulerFlags) !== 0) line += ` (${schedulerFlagNames(service).join(',')})`
  if ((flags & serviceFlag.persistent) !== 0) {
    line += ` persistent ${service.timeoutSeconds}`
    const mask = maskText(service)
    if (mask !== undefined) line += ` mask ${mask}`
    if (service.engine !== undefined) line += ` pe ${service.engine}`
  }
  if ((flags & serviceFlag.onePacket) !== 0) line += ' ops'
  return `${line}\n`
}

const schedulerFlags = serviceFlag.scheduler1 | serviceFlag.scheduler2 | serviceFlag.scheduler3

/** What ipvsadm calls them; sh and mh have names for two, and for them the third has none. */
function schedulerFlagNames({ scheduler, flags: { flags } }: ListedService): string[] {
  const own = scheduler === 'sh' || scheduler === 'mh'
  const names = own ? [`${scheduler}-fallback`, `${scheduler}-port`] : ['flag-1', 'flag-2', 'flag-3']
  return names.filter((_, index) => (flags & (serviceFlag.scheduler1 << index)) !== 0)
}

/** Undefined where it is the usual one: every client by itself. */
function maskText({ family, netmask }: ListedService): string | undefined {
  if (family !== AF_INET6) return netmask === 0xffff_ffff ? undefined : dotted(netmask)
  // A prefix length in the host's order, where IPv4 has a mask in the network's.
  const length = hostIsLittleEndian ? netmask >>> 24 : netmask
  return length === 128 ? undefined : String(length)
}

export function destinationLine(
  destination: ListedDestination,
  service: ListedService,
  format: Format,
  name: EndpointText,
): string {
  const isIPv6 = (destination.family ?? service.family) === AF_INET6
  const full = name(destination.address, 0, isIPv6, destination.port, service.protocol ?? 0)
  const start = `  -> ${(isIPv6 ? full : full.slice(0, 28)).padEnd(28)}`
  const { activeConnections, inactiveConnections, weight, statistics } = destination
  const row = (...columns: readonly (readonly [string | number, number])[]): string =>
    `${start} ${columns.map(([value, width]) => String(value).padEnd(width)).join(' ')}\n`
  const connections = [
    [activeConnections, 10],
    [inactiveConnections, 10],
  ] as const
  if (format.stats) return `${start}${counters(statistics, format)}\n`
  if (format.rate) {
    const [perSecond, inPackets, outPackets, inBytes, outBytes] = rates(statistics)
    const plain = [perSecond, inPackets, outPackets].map((rate) => ` ${String(rate).padStart(8)}`).join('')
    return `${start}${plain}${largeNumber(inBytes, format.exact)}${largeNumber(outBytes, format.exact)}\n`
  }
  if (format.thresholds) {
    return row([destination.upperThreshold, 10], [destination.lowerThreshold, 10], ...connections)
  }
  if (format.persistentConn) {
    return row([weight >>> 0, 9], [destination.persistentConnections, 11], ...connections)
  }
  const method = forwardingMethods[destination.forwardingMethod] ?? 'Unknown'
  if (format.tunInfo) {
    return row([method, 7], [tunnelText(destination), 13], [weight, 6], ...connections)
  }
  return row([method, 7], [weight, 6], ...connections)
}

function tunnelText(destination: ListedDestination): string {
  const { forwardingMethod, tunnelType = 0, tunnelPort = 0, tunnelFlags = 0 } = destination
  const name = tunnelNames[tunnelType]
  if (forwardingMethod !== tunnel || name === undefined) return 'n/a'
  const flags = tunnelFlagNames[tunnelFlags & 3]!
  return name === 'ipip' ? name : name === 'gre' ? `${name}:${flags}` : `${name}:${tunnelPort}:${flags}`
}

function counters(statistics: Statistics | undefined, { exact }: Format): string {
  if (statistics === undefined) return largeNumber(0n, exact).repeat(5)
  return (
    largeNumber(statistics.connections, exact) +
    largeNumber(statistics.incomingPackets, exact) +
    largeNumber(statistics.outgoingPackets, exact) +
    largeNumber(statistics.incomingBytes, exact) +
    largeNumber(statistics.outgoingBytes, exact)
  )
}

function rates(statistics: Statistics | undefined): readonly [number, number, number, number, number] {
  if (statistics === undefined) return [0, 0, 0, 0, 0]
  return [
    statistics.connectionsPerSecond,
    statistics.incomingPacketsPerSecond,
    statistics.outgoingPacketsPerSecond,
    statistics.incomingBytesPerSecond,
    statistics.outgoingBytesPerSecond,
  ]
}

const scales = [
  [1_000_000_000n, 1000n, 'K'],
  [100_000_000_000n, 1_000_000n, 'M'],
  [100_000_000_000_000n, 1_000_000_000n, 'G'],
] as const

/** Nine characters: up to eight digits, or a number of thousands, millions …; `exact` as many as it takes. */
export function largeNumber(value: bigint | number, exact: boolean): string {
  if (value < 100_000_000) return String(value).padStart(9)
  if (exact) return ` ${value}`
  const number = BigInt(value)
  const [, unit, letter] = scales.find(([below]) => number < below) ?? [0n, 1_000_000_000_000n, 'T']
  return `${String(number / unit).padStart(8)}${letter}`
}

/** A service as options that make it. */
export function serviceRule(service: ListedService, name: EndpointText): string {
  const { flags } = service.flags
  let line = `-A ${ruleKey(service, name)} -s ${service.scheduler}`
  if ((flags & serviceFlag.persistent) !== 0) {
    line += ` -p ${service.timeoutSeconds}`
    const mask = maskText(service)
    if (mask !== undefined) line += ` -M ${mask}`
  }
  if (service.engine !== undefined) line += ` --pe ${service.engine}`
  if ((flags & serviceFlag.onePacket) !== 0) line += ' -o'
  const names = schedulerFlagNames(service)
  // ipvsadm leaves out the third flag of sh and mh, and writes an option without its argument.
  if ((flags & serviceFlag.scheduler3) !== 0 && !names.includes('flag-3')) names.push('flag-3')
  if (names.length > 0) line += ` -b ${names.join(',')}`
  return `${line}\n`
}

/** A mark is unsigned here: `-f -1`, which ipvsadm writes for 4294967295, cannot be read back. */
function ruleKey(service: ListedService, name: EndpointText): string {
  if (service.firewallMark !== undefined) {
    return `-f ${service.firewallMark}${service.family === AF_INET6 ? ' -6' : ''}`
  }
  return `${protocolOptions[service.protocol!] ?? '--xxx-service'} ${serviceEndpoint(service, name)}`
}

/** A destination as options that make it; the thresholds, too, which ipvsadm leaves out. */
export function destinationRule(
  destination: ListedDestination,
  service: ListedService,
  name: EndpointText,
): string {
  const isIPv6 = (destination.family ?? service.family) === AF_INET6
  const endpoint = name(destination.address, 0, isIPv6, destination.port, service.protocol ?? 0)
  const method = forwardingOptions[destination.forwardingMethod]
  let line = `-a ${ruleKey(service, name)} -r ${endpoint} ${method ?? ''} -w ${destination.weight}`
  if (method === undefined) return `# no option makes this forwarding method: ${line}\n`
  if (destination.forwardingMethod === tunnel) line += tunnelRule(destination)
  if (destination.upperThreshold !== 0) line += ` -x ${destination.upperThreshold}`
  if (destination.lowerThreshold !== 0) line += ` -y ${destination.lowerThreshold}`
  return `${line}\n`
}

function tunnelRule({ tunnelType = 0, tunnelPort = 0, tunnelFlags = 0 }: ListedDestination): string {
  const name = tunnelNames[tunnelType]
  if (name === undefined) return ''
  if (name === 'ipip') return ' --tun-type ipip'
  const port = name === 'gue' ? ` --tun-port ${tunnelPort}` : ''
  return ` --tun-type ${name}${port} ${tunnelFlagOptions[tunnelFlags & 3]!}`
}

export function timeoutLine(found: Decoded<typeof top> | undefined): string {
  const { tcpTimeoutSeconds = 0, tcpFinTimeoutSeconds = 0, udpTimeoutSeconds = 0 } = found ?? {}
  return `Timeout (tcp tcpfin udp): ${tcpTimeoutSeconds} ${tcpFinTimeoutSeconds} ${udpTimeoutSeconds}\n`
}

export function daemonLine(daemon: Decoded<typeof daemonTable>): string {
  const { maximumLength, multicastGroup, multicastGroup6, multicastPort, multicastTtl } = daemon
  const group = multicastGroup ?? multicastGroup6
  return (
    `${daemon.state} sync daemon (mcast=${daemon.interface}, syncid=${daemon.syncId}` +
    (maximumLength ? `, maxlen=${maximumLength}` : '') +
    (group === undefined ? '' : `, group=${group}`) +
    (multicastPort ? `, port=${multicastPort}` : '') +
    (multicastTtl ? `, ttl=${multicastTtl}` : '') +
    ')\n'
  )
}
