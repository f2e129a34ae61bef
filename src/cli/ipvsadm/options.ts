/**
 * The options of ipvsadm 1.31, a row each: what is written, whether it takes an argument, and which option it counts as
 * where each may be given once. Then the commands, a row each: which options they need and take.
 */

/** As messages name them, in the order in which they are checked. */
export const optionNames = [
  'numeric',
  'connection',
  'service-address',
  'scheduler',
  'persistent',
  'netmask',
  'real-server',
  'forwarding-method',
  'weight',
  'u-threshold',
  'l-threshold',
  'mcast-interface',
  'timeout',
  'daemon',
  'stats',
  'rate',
  'thresholds',
  'persistent-conn',
  'nosort',
  'syncid',
  'exact',
  'ops',
  'pe',
  'sched-flags',
  'mcast-group',
  'mcast-port',
  'mcast-ttl',
  'sync-maxlen',
  'tun-info',
  'tun-type',
  'tun-port',
  'tun-nocsum',
  'tun-csum',
  'tun-remcsum',
] as const
export type OptionName = (typeof optionNames)[number]

export type CommandName =
  | 'add-service'
  | 'edit-service'
  | 'delete-service'
  | 'flush'
  | 'list'
  | 'add-server'
  | 'delete-server'
  | 'edit-server'
  | 'set'
  | 'start-daemon'
  | 'stop-daemon'
  | 'restore'
  | 'save'
  | 'zero'
  | 'help'
  | 'version'

export interface OptionRow {
  readonly long: string
  readonly short?: string | undefined
  readonly argument: 'none' | 'needed' | 'optional'
  /** Given first, it says what is to be done. */
  readonly command?: CommandName | undefined
  /** What it counts as: at most one of them is taken. */
  readonly name?: OptionName | undefined
}

const command = (
  long: string,
  short: string | undefined,
  name: CommandName,
  argument: 'none' | 'needed' = 'none',
): OptionRow => ({ long, short, argument, command: name })
/** One that is named after itself, unless said. */
const switchRow = (long: string, short?: string, name?: OptionName): OptionRow => ({
  long,
  short,
  argument: 'none',
  name: name ?? (long as OptionName),
})
const valued = (long: string, short?: string, name?: OptionName): OptionRow => ({
  long,
  short,
  argument: 'needed',
  name: name ?? (long as OptionName),
})

export const optionRows: readonly OptionRow[] = [
  command('add-service', 'A', 'add-service'),
  command('edit-service', 'E', 'edit-service'),
  command('delete-service', 'D', 'delete-service'),
  command('clear', 'C', 'flush'),
  command('list', 'L', 'list'),
  command('list', 'l', 'list'),
  command('zero', 'Z', 'zero'),
  command('add-server', 'a', 'add-server'),
  command('edit-server', 'e', 'edit-server'),
  command('delete-server', 'd', 'delete-server'),
  command('set', undefined, 'set'),
  command('help', 'h', 'help'),
  command('version', 'v', 'version'),
  command('restore', 'R', 'restore'),
  command('save', 'S', 'save'),
  command('start-daemon', undefined, 'start-daemon', 'needed'),
  command('stop-daemon', undefined, 'stop-daemon', 'needed'),
  valued('tcp-service', 't', 'service-address'),
  valued('udp-service', 'u', 'service-address'),
  valued('sctp-service', undefined, 'service-address'),
  valued('fwmark-service', 'f', 'service-address'),
  valued('scheduler', 's'),
  { long: 'persistent', short: 'p', argument: 'optional', name: 'persistent' },
  valued('netmask', 'M'),
  valued('real-server', 'r'),
  switchRow('masquerading', 'm', 'forwarding-method'),
  switchRow('ipip', 'i', 'forwarding-method'),
  switchRow('gatewaying', 'g', 'forwarding-method'),
  valued('weight', 'w'),
  valued('u-threshold', 'x'),
  valued('l-threshold', 'y'),
  switchRow('numeric', 'n'),
  switchRow('connection', 'c'),
  valued('mcast-interface'),
  valued('syncid'),
  switchRow('timeout'),
  switchRow('daemon'),
  switchRow('stats'),
  switchRow('rate'),
  switchRow('thresholds'),
  switchRow('persistent-conn'),
  switchRow('nosort'),
  { long: 'sort', argument: 'none' },
  switchRow('exact', 'X'),
  { long: 'ipv6', short: '6', argument: 'none' },
  switchRow('ops', 'o'),
  valued('pe'),
  valued('sched-flags', 'b'),
  valued('mcast-group'),
  valued('mcast-port'),
  valued('mcast-ttl'),
  valued('sync-maxlen'),
  switchRow('tun-info'),
  valued('tun-type'),
  valued('tun-port'),
  switchRow('tun-nocsum'),
  switchRow('tun-csum'),
  switchRow('tun-remcsum'),
]

/** What a command does with options; those that are not named, it refuses. */
export interface Rules {
  readonly needs: readonly OptionName[]
  readonly takes: readonly OptionName[]
  /** At most one of these. */
  readonly oneOf: readonly OptionName[]
}

const rules = (given: Partial<Rules> = {}): Rules => ({ needs: [], takes: [], oneOf: [], ...given })

const ofService = rules({
  needs: ['service-address'],
  takes: ['scheduler', 'persistent', 'netmask', 'ops', 'pe', 'sched-flags'],
})
const ofServer = rules({
  needs: ['service-address', 'real-server'],
  takes: [
    'forwarding-method',
    'weight',
    'u-threshold',
    'l-threshold',
    'tun-type',
    'tun-port',
    'tun-nocsum',
    'tun-csum',
    'tun-remcsum',
  ],
})

export const commandRules: Readonly<Record<CommandName, Rules>> = {
  'add-service': ofService,
  'edit-service': ofService,
  'delete-service': rules({ needs: ['service-address'] }),
  flush: rules(),
  list: rules({
    takes: [
      'numeric',
      'stats',
      'rate',
      'thresholds',
      'persistent-conn',
      'nosort',
      'syncid',
      'exact',
      'tun-info',
    ],
    oneOf: ['connection', 'service-address', 'timeout', 'daemon'],
  }),
  'add-server': ofServer,
  'delete-server': rules({ needs: ['service-address', 'real-server'] }),
  'edit-server': ofServer,
  set: rules(),
  'start-daemon': rules({
    takes: ['mcast-interface', 'syncid', 'mcast-group', 'mcast-port', 'mcast-ttl', 'sync-maxlen'],
  }),
  'stop-daemon': rules({ takes: ['syncid'] }),
  restore: rules(),
  save: rules({ takes: ['numeric'] }),
  zero: rules({ takes: ['service-address'] }),
  help: rules(),
  version: rules(),
}

export type TunnelType = 'ipip' | 'gue' | 'gre'

/** The options of a tunnel, by its type. */
export const tunnelOptions = ['tun-port', 'tun-nocsum', 'tun-csum', 'tun-remcsum'] as const
export const tunnelRules: Readonly<Record<TunnelType, Rules>> = {
  ipip: rules(),
  gue: rules({ needs: ['tun-port'], oneOf: ['tun-nocsum', 'tun-csum', 'tun-remcsum'] }),
  gre: rules({ oneOf: ['tun-nocsum', 'tun-csum'] }),
}
