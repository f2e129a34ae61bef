/**
 * From arguments to a command. Options are taken one by one, as ipvsadm takes them: what an option means may depend on
 * those before it (`-r host:http` on `-t`, `-M` on the family, `-6` on `-f`).
 */
import { isIPv4, isIPv6, parseAddress } from '../../address/index.js'
import { serviceFlag } from '../../ipvs/wire.js'
import { exitRefused, exitUsage, UsageError } from '../exit.js'
import {
  type Command,
  type Family,
  type Format,
  UnresolvedName,
  type WireDestinationInput,
  type WireKey,
  type WireServiceInput,
} from './command.js'
import {
  type CommandName,
  commandRules,
  type OptionName,
  optionNames,
  type OptionRow,
  type Rules,
  tunnelOptions,
  tunnelRules,
  type TunnelType,
} from './options.js'
import { type Scanned, Scanner } from './scan.js'
import { looseIPv4, wholeNumber } from './text.js'

/** Where names come from. */
export interface Names {
  /** An address, null if the name has none, undefined if that is not known yet. */
  host(name: string, family: 4 | 6): string | null | undefined
  servicePort(name: string, protocol: 'tcp' | 'udp' | 'sctp'): number | undefined
}

/**
 * Parses the arguments behind the command's own name. `program` is what messages call it.
 *
 * @throws UsageError, or UnresolvedName for a host whose address `names` does not know yet
 */
export function parse(argv: readonly string[], names: Names, program = 'ipvsadm'): Command {
  const scanner = new Scanner(argv)
  const first = scanner.next()
  if (typeof first !== 'object' || first.option.command === undefined) throw tryHelp(program)
  const name = first.option.command
  if (name === 'help' || name === 'version') return { command: name }
  const draft = new Draft(names)
  if (name === 'start-daemon') draft.daemonState(first.argument!, 'illegal start-daemon parameter specified')
  if (name === 'stop-daemon') draft.daemonState(first.argument!, 'illegal start_daemon specified')
  for (let scanned = scanner.next(); scanned !== undefined; scanned = scanner.next()) {
    if (typeof scanned === 'string') throw new UsageError(`${scanner.element}: ${scanned}`, exitRefused)
    if (scanned.option.command !== undefined) throw usage(`invalid option \`${scanner.element}'`)
    draft.take(scanned)
  }
  if (name === 'set') draft.timeouts(scanner.rest.splice(0, 3))
  if (scanner.rest.length > 0) throw usage(`unexpected argument ${scanner.rest[0]!}`)
  return draft.finish(name)
}

export function tryHelp(program: string): UsageError {
  return new UsageError(`Try \`${program} -h' or '${program} --help' for more information.`, exitRefused)
}

function usage(message: string): UsageError {
  return new UsageError(message, exitUsage)
}

const mostInt = 0x7fff_ffff
const mostTimeout = 86_400 * 31
/** IPVS_SVC_PERSISTENT_TIMEOUT, what `-p` alone means. */
const usualTimeout = 360
const nameBytes = 15

/** As strncpy(3) would: bytes, in whatever middle of a character. */
function cut(name: string): string {
  const bytes = Buffer.from(name)
  return bytes.length <= nameBytes ? name : bytes.subarray(0, nameBytes).toString()
}

/** What was said so far. */
class Draft {
  readonly #names: Names
  readonly #given: OptionName[] = []
  #family: Family | undefined
  #protocol: 'tcp' | 'udp' | 'sctp' | undefined
  #address = ''
  #port = 0
  #mark = 0
  #scheduler = ''
  #schedulerFlags = ''
  #flags = 0
  #timeout = 0
  #netmask: string | number = '255.255.255.255'
  #engine = ''
  #server: { readonly family: Family; readonly address: string; readonly port: number } | undefined
  #method: 'masquerade' | 'tunnel' | 'direct-route' = 'direct-route'
  #weight = 1
  #upperThreshold = 0
  #lowerThreshold = 0
  #tunnelType: TunnelType = 'ipip'
  #tunnelPort = 0
  #state: 'master' | 'backup' = 'master'
  #interface = ''
  #syncId = 0
  #multicast: { multicastGroup?: string; multicastGroup6?: string } = {}
  #multicastPort: number | undefined
  #multicastTtl: number | undefined
  #maximumLength: number | undefined
  #seconds: readonly number[] = []

  constructor(names: Names) {
    this.#names = names
  }

  daemonState(text: string, complaint: string): void {
    if (text !== 'master' && text !== 'backup') throw usage(complaint)
    this.#state = text
  }

  /** The three values of `--set`. */
  timeouts(texts: readonly string[]): void {
    if (texts.length < 3) throw usage('--set option requires 3 timeout values')
    this.#seconds = texts.map((text) => timeout(text, 0))
  }

  take({ option, argument }: Scanned): void {
    if (option.name !== undefined) {
      if (this.#given.includes(option.name)) throw usage(`multiple '${option.name}' options specified`)
      this.#given.push(option.name)
    }
    this.#set(option, argument ?? '', argument === undefined)
  }

  #set(option: OptionRow, text: string, absent: boolean): void {
    switch (option.long) {
      case 'tcp-service':
        return this.#service('tcp', text)
      case 'udp-service':
        return this.#service('udp', text)
      case 'sctp-service':
        return this.#service('sctp', text)
      case 'fwmark-service':
        this.#family = 'ipv4'
        this.#protocol = 'tcp'
        this.#mark = or(wholeNumber(text, 1, 0xffff_ffff), `invalid fwmark value \`${text}' specified`)
        return
      case 'ipv6':
        if (this.#mark === 0) throw usage('-6 used before -f\n')
        this.#family = 'ipv6'
        this.#netmask = 128
        return
      case 'scheduler':
        this.#scheduler = cut(text)
        return
      case 'persistent':
        this.#flags |= serviceFlag.persistent
        this.#timeout = absent ? usualTimeout : timeout(text, 1)
        return
      case 'netmask':
        this.#netmask =
          this.#family === 'ipv6'
            ? or(prefixLength(text), 'illegal ipv6 netmask specified')
            : or(this.#hostAddress(text), 'illegal virtual server persistent mask specified')
        return
      case 'ops':
        this.#flags |= serviceFlag.onePacket
        return
      case 'pe':
        this.#engine = cut(text)
        return
      case 'sched-flags':
        this.#schedulerFlags = text
        return
      case 'real-server': {
        const found = or(this.#endpoint(text), 'illegal real server address[:port] specified')
        this.#server = { ...found, port: found.port ?? this.#port }
        return
      }
      case 'masquerading':
        this.#method = 'masquerade'
        return
      case 'ipip':
        this.#method = 'tunnel'
        return
      case 'gatewaying':
        this.#method = 'direct-route'
        return
      case 'weight':
        this.#weight = or(wholeNumber(text, 0, mostInt), 'illegal weight specified')
        return
      case 'u-threshold':
        this.#upperThreshold = or(wholeNumber(text, 0, mostInt), 'illegal u_threshold specified')
        return
      case 'l-threshold':
        this.#lowerThreshold = or(wholeNumber(text, 0, mostInt), 'illegal l_threshold specified')
        return
      case 'tun-type':
        if (!Object.hasOwn(tunnelRules, text)) throw usage('illegal tunnel type specified')
        this.#tunnelType = text as TunnelType
        return
      case 'tun-port':
        this.#tunnelPort = or(wholeNumber(text, 1, 65_535), 'illegal tunnel port specified')
        return
      case 'mcast-interface':
        this.#interface = cut(text)
        return
      case 'syncid':
        this.#syncId = or(wholeNumber(text, 0, 255), 'illegal syncid specified')
        return
      case 'mcast-group':
        this.#multicast = multicastGroup(text)
        return
      case 'mcast-port':
        this.#multicastPort = or(wholeNumber(text, 1, 65_535), 'illegal mcast-port specified')
        return
      case 'mcast-ttl':
        this.#multicastTtl = or(wholeNumber(text, 1, 255), 'illegal mcast-ttl specified')
        return
      case 'sync-maxlen':
        this.#maximumLength = or(wholeNumber(text, 1, 65_507), 'illegal sync-maxlen specified')
        return
      // The others say all by being given.
    }
  }

  #service(protocol: 'tcp' | 'udp' | 'sctp', text: string): void {
    this.#protocol = protocol
    const found = or(this.#endpoint(text), 'illegal virtual server address[:port] specified')
    this.#family = found.family
    if (found.family === 'ipv6') this.#netmask = 128
    this.#address = found.address
    this.#port = found.port ?? 0
  }

  /** `host[:port]`, `[v6]:port` or a bare IPv6 address; the port a number or a name. */
  #endpoint(text: string): { family: Family; address: string; port?: number } | undefined {
    if (/^\d*$/.test(text)) return undefined
    let host = text
    let port: string | undefined
    const bracketed = text.startsWith('[')
    if (bracketed) {
      const close = text.indexOf(']:')
      if (close < 0 || text.indexOf(']') !== close) return undefined
      host = text.slice(1, close)
      port = text.slice(close + 2)
    }
    // The resolver would give `fe80::1%lo` back; neither ipvsadm nor the kernel knows zones.
    if (host.includes('%')) return undefined
    let address = isIPv6(host) ? host : undefined
    // ipvsadm looks for an IPv4 address alone, although its own `-S` writes `[name]:port` for IPv6.
    if (address === undefined && bracketed && looseIPv4(host) === undefined) address = this.#lookUp(host, 6)
    const family = address === undefined ? 'ipv4' : 'ipv6'
    if (address === undefined) {
      const colon = host.lastIndexOf(':')
      port = colon < 0 ? undefined : host.slice(colon + 1)
      address = this.#hostAddress(colon < 0 ? host : host.slice(0, colon))
      if (address === undefined) return undefined
    }
    if (port === undefined) return { family, address }
    const number =
      wholeNumber(port, 0, 65_535) ??
      (this.#protocol === undefined ? undefined : this.#names.servicePort(port, this.#protocol))
    return number === undefined ? undefined : { family, address, port: number }
  }

  #hostAddress(text: string): string | undefined {
    return looseIPv4(text) ?? this.#lookUp(text, 4)
  }

  #lookUp(name: string, family: 4 | 6): string | undefined {
    const found = this.#names.host(name, family)
    if (found === undefined) throw new UnresolvedName(name, family)
    return found ?? undefined
  }

  /** Checks what goes together and makes the command. */
  finish(name: Exclude<CommandName, 'help' | 'version'>): Command {
    if (this.#schedulerFlags !== '')
      this.#flags |= schedulerBits(this.#schedulerFlags, this.#scheduler || 'wlc')
    checkRules(commandRules[name], optionNames, this.#given, `'${name}' command`)
    switch (name) {
      case 'add-service':
      case 'edit-service':
        return { command: name, service: this.#wholeService() }
      case 'delete-service':
        return { command: name, service: this.#key() }
      case 'add-server':
      case 'edit-server':
        return { command: name, service: this.#key(), destination: this.#wholeDestination() }
      case 'delete-server':
        return { command: name, service: this.#key(), destination: this.#server! }
      case 'zero':
        return {
          command: name,
          service: this.#given.includes('service-address') ? this.#zeroed() : undefined,
        }
      case 'list':
        return this.#list()
      case 'save':
        return { command: name, format: this.#format() }
      case 'set': {
        const [tcpSeconds, tcpFinSeconds, udpSeconds] = this.#seconds as [number, number, number]
        return { command: name, tcpSeconds, tcpFinSeconds, udpSeconds }
      }
      case 'start-daemon':
        return {
          command: name,
          daemon: {
            state: this.#state,
            interface: this.#interface || 'eth0',
            syncId: this.#syncId,
            maximumLength: this.#maximumLength,
            ...this.#multicast,
            multicastPort: this.#multicastPort,
            multicastTtl: this.#multicastTtl,
          },
        }
      case 'stop-daemon':
        return { command: name, state: this.#state }
      case 'flush':
      case 'restore':
        return { command: name }
    }
  }

  #key(): WireKey {
    return this.#mark !== 0
      ? { family: this.#family!, firewallMark: this.#mark }
      : { family: this.#family!, protocol: this.#protocol!, address: this.#address, port: this.#port }
  }

  /** For ipvsadm no address and no port is no service, so all are zeroed. */
  #zeroed(): WireKey | undefined {
    const isAny = parseAddress(this.#address)?.every((byte) => byte === 0) === true
    return this.#mark === 0 && isAny && this.#port === 0 ? undefined : this.#key()
  }

  #wholeService(): WireServiceInput {
    if (this.#mark === 0 && this.#port === 0 && (this.#flags & serviceFlag.persistent) === 0) {
      throw usage('Zero port specified for non-persistent service')
    }
    if (this.#mark === 0 && this.#protocol !== 'udp' && (this.#flags & serviceFlag.onePacket) !== 0) {
      throw usage('One-Packet Scheduling is only for UDP virtual services')
    }
    return {
      ...this.#key(),
      scheduler: this.#scheduler || 'wlc',
      flags: { flags: this.#flags, mask: 0xffff_ffff },
      persistenceTimeoutSeconds: this.#timeout,
      persistenceNetmask: this.#netmask,
      persistenceEngine: this.#engine || undefined,
    }
  }

  #wholeDestination(): WireDestinationInput {
    const server = this.#server!
    const method = this.#method
    if (server.family !== this.#family && method !== 'tunnel') {
      throw usage('Different address family is allowed only for tunneling servers')
    }
    if (method !== 'tunnel' && this.#given.some((name) => name.startsWith('tun-'))) {
      throw usage('Tunnel options conflict with forward method')
    }
    checkRules(tunnelRules[this.#tunnelType], tunnelOptions, this.#given, `'${this.#tunnelType}' tunnel type`)
    return {
      family: server.family,
      address: server.address,
      // Direct routing and tunnels hand packets on as they are: whatever port was given, it is the service's.
      port: this.#mark === 0 && method !== 'masquerade' ? this.#port : server.port,
      forwardingMethod: method,
      weight: this.#weight,
      upperThreshold: this.#upperThreshold,
      lowerThreshold: this.#lowerThreshold,
      tunnelType: this.#tunnelType,
      tunnelPort: this.#tunnelPort,
      tunnelFlags: this.#given.includes('tun-csum')
        ? ['checksum']
        : this.#given.includes('tun-remcsum')
          ? ['remote-checksum']
          : [],
    }
  }

  #list(): Command {
    const given = this.#given
    const has = (...some: OptionName[]): boolean => some.some((name) => given.includes(name))
    if (
      (has('connection', 'timeout', 'daemon') && has('stats', 'rate', 'thresholds')) ||
      (has('timeout', 'daemon') && has('persistent-conn'))
    ) {
      throw usage('options conflicts in the list command')
    }
    const format = this.#format()
    if (has('connection')) return { command: 'list', what: 'connections', format }
    if (has('service-address')) return { command: 'list', what: 'service', service: this.#key(), format }
    return { command: 'list', what: has('timeout') ? 'timeout' : has('daemon') ? 'daemon' : 'all', format }
  }

  #format(): Format {
    return {
      numeric: this.#given.includes('numeric'),
      nosort: this.#given.includes('nosort'),
      exact: this.#given.includes('exact'),
      stats: this.#given.includes('stats'),
      rate: this.#given.includes('rate'),
      thresholds: this.#given.includes('thresholds'),
      persistentConn: this.#given.includes('persistent-conn'),
      tunInfo: this.#given.includes('tun-info'),
    }
  }
}

/** The value, or the complaint if there is none. */
function or<T>(value: T | undefined, complaint: string): T {
  if (value === undefined) throw usage(complaint)
  return value
}

function timeout(text: string, least: number): number {
  return or(wholeNumber(text, least, mostTimeout), `invalid timeout value \`${text}' specified`)
}

/** atoi(3) of a mask for IPv6. */
function prefixLength(text: string): number | undefined {
  const length = Number.parseInt(/^\s*[+-]?\d+/.exec(text)?.[0] ?? '0', 10)
  return length >= 1 && length <= 128 ? length : undefined
}

function multicastGroup(text: string): { multicastGroup?: string; multicastGroup6?: string } {
  const first = parseAddress(text)?.[0] ?? 0
  if (text.includes(':')) {
    if (!isIPv6(text) || first !== 0xff) throw usage(`invalid IPv6 mcast-group \`${text}'`)
    return { multicastGroup6: text }
  }
  if (!isIPv4(text) || first >> 4 !== 0xe) throw usage(`invalid IPv4 mcast-group \`${text}'`)
  return { multicastGroup: text }
}

/** Each flag with its bit and, if it is one's own, its scheduler. */
const schedulerFlags: Readonly<Record<string, readonly [number, string?]>> = {
  'flag-1': [serviceFlag.scheduler1],
  'flag-2': [serviceFlag.scheduler2],
  'flag-3': [serviceFlag.scheduler3],
  'sh-fallback': [serviceFlag.scheduler1, 'sh'],
  'sh-port': [serviceFlag.scheduler2, 'sh'],
  'mh-fallback': [serviceFlag.scheduler1, 'mh'],
  'mh-port': [serviceFlag.scheduler2, 'mh'],
}

function schedulerBits(text: string, scheduler: string): number {
  let bits = 0
  for (const flag of text.split(',').filter(Boolean)) {
    const row = Object.hasOwn(schedulerFlags, flag) ? schedulerFlags[flag] : undefined
    if (row === undefined) throw usage(`invalid scheduler flag \`${flag}'`)
    if (row[1] !== undefined && row[1] !== scheduler) throw usage(`incompatible scheduler flag \`${flag}'`)
    bits |= row[0]
  }
  return bits
}

function checkRules(
  rules: Rules,
  names: readonly OptionName[],
  given: readonly OptionName[],
  whose: string,
): void {
  let exclusive: OptionName | undefined
  for (const name of names) {
    if (!given.includes(name)) {
      if (rules.needs.includes(name)) throw usage(`You need to supply the '${name}' option for the ${whose}`)
      continue
    }
    if (rules.oneOf.includes(name)) {
      if (exclusive !== undefined) {
        throw usage(`The option '${name}' conflicts with the '${exclusive}' option in the ${whose}`)
      }
      exclusive = name
    } else if (!rules.needs.includes(name) && !rules.takes.includes(name)) {
      throw usage(`Illegal '${name}' option with the ${whose}`)
    }
  }
}
