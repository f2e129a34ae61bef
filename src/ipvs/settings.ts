/**
 * Every setting below `net.ipv4.vs`, a row each: what sysctl.ts reads, checks, writes and types. Source:
 * net/netfilter/ipvs/ip_vs_ctl.c (`vs_vars`), ip_vs_lblc.c, ip_vs_lblcr.c, Documentation/networking/ipvs-sysctl.rst.
 * Keys are the kernel's names; a unit is added where there is one.
 */

/** How a setting's text is read, and what may be written. */
export interface SettingType<T> {
  /** What a caller may give. */
  readonly expected: string
  /** Can it be meant? */
  accepts(value: unknown): boolean
  /** Undefined for text that is none. */
  read(text: string): T | undefined
  /** The text that is written to the file. */
  write(value: T): string
}

/** One of `net.ipv4.vs.*`. */
export interface Setting<T = unknown> {
  /** The file below /proc/sys/net/ipv4/vs. */
  readonly name: string
  /** What it takes, and how that is read and written. */
  readonly type: SettingType<T>
  /** Of a new namespace; undefined where the kernel derives it from the machine. */
  readonly initially: T | undefined
  /** The first kernel that has it; left out, it is older than 5.0. */
  readonly since?: string
  /** What else must be there for it to be. */
  readonly needs?: string
}

interface Facts<T> {
  readonly initially?: T
  readonly since?: string
  readonly needs?: string
}

const boolean: SettingType<boolean> = {
  expected: 'true or false',
  accepts: (value) => typeof value === 'boolean',
  read: (text) => (/^\d+$/.test(text) ? Number(text) !== 0 : undefined),
  write: (value) => (value ? '1' : '0'),
}

function integer(least: number, most: number): SettingType<number> {
  return {
    expected: `an integer from ${least} to ${most}`,
    accepts: (value) => Number.isInteger(value) && (value as number) >= least && (value as number) <= most,
    read: integerOf,
    write: String,
  }
}

const powerOfTwo: SettingType<number> = {
  expected: 'a power of two from 1 to 64',
  accepts: (value) => typeof value === 'number' && [1, 2, 4, 8, 16, 32, 64].includes(value),
  read: integerOf,
  write: String,
}

/** Cpus as the kernel lists them: `0-3,8`, `all`, or nothing. */
const cpuList: SettingType<string> = {
  expected: 'a list of CPUs such as 0-3,8, or nothing',
  accepts: (value) => typeof value === 'string' && /^(all|[\dN,:/-]*)$/.test(value),
  read: (text) => text,
  write: (value) => value,
}

/** When a connection is synchronised: at packet `threshold`, then at the same place of every `period`. */
export interface SyncThreshold {
  /** Packets of a connection, counted from its first. */
  readonly threshold: number
  /** 0: once. */
  readonly period: number
}

const syncThreshold: SettingType<SyncThreshold> = {
  expected: '{ threshold, period }: integers from 0, the threshold less than the period unless that is 0',
  accepts(value) {
    const { threshold, period } = (value ?? {}) as SyncThreshold
    return (
      [threshold, period].every((number) => Number.isInteger(number) && number >= 0 && number <= mostInt) &&
      (period === 0 || threshold < period)
    )
  },
  read(text) {
    const [threshold, period] = text.split(/\s+/).map(integerOf)
    return threshold === undefined || period === undefined ? undefined : { threshold, period }
  },
  write: ({ threshold, period }) => `${threshold} ${period}`,
}

const mostInt = 0x7fff_ffff

function integerOf(text: string): number | undefined {
  return /^-?\d+$/.test(text) ? Number(text) : undefined
}

function setting<T>(name: string, type: SettingType<T>, facts: Facts<T> = {}): Setting<T> {
  const { initially, ...more } = facts
  return { name, type, initially, ...more }
}

/** 0 never, 1 and 2 when memory is short (the kernel shows 2 while it is), 3 always. */
const defence = integer(0, 3)

/** Every setting, by its key. */
export const ipvsSettings = {
  /** Defence mode 3 of `dropPacket` drops one packet of so many. */
  amDroprate: setting('am_droprate', integer(0, mostInt), { initially: 10 }),
  /** Memory is short below so many free pages. */
  amemthreshPages: setting('amemthresh', integer(0, mostInt), { initially: 1024 }),
  /** A backup director forwards nothing itself: without it, two that are each other's real server send in circles. */
  backupOnly: setting('backup_only', boolean, { initially: false }),
  /** With no server left, packets to an address that is not ours go on to it: for transparent caches. */
  cacheBypass: setting('cache_bypass', boolean, { initially: false }),
  /** Size of the connection table: 2 to this power is connections per bucket, so less is a larger table. */
  connLfactor: setting('conn_lfactor', integer(-8, 8), { since: '7.1' }),
  /** Connections that the namespace may have. */
  connMax: setting('conn_max', integer(0, 2 ** 30), { since: '7.2' }),
  /**
   * What happens when a client uses a port again: bit 0 schedules anew where that is safe, bit 1 also in FIN_WAIT (the
   * last state that a director sees with direct routing). 0 sends it where the old connection went.
   */
  connReuseMode: setting('conn_reuse_mode', integer(0, 3), { initially: 1 }),
  /** Connections have conntrack entries, so that the packet filter's rules see them; it costs speed. */
  conntrack: setting('conntrack', boolean, { initially: false, needs: 'CONFIG_IP_VS_NFCT' }),
  /** How much goes into the kernel's log; in the first network namespace. */
  debugLevel: setting('debug_level', integer(0, 100), { initially: 0, needs: 'CONFIG_IP_VS_DEBUG' }),
  /** Defence: drops entries that are in the middle of their handshake. */
  dropEntry: setting('drop_entry', defence, { initially: 0 }),
  /** Defence: drops packets before they are forwarded. */
  dropPacket: setting('drop_packet', defence, { initially: 0 }),
  /** CPUs that count statistics; none stops the counting. */
  estCpulist: setting('est_cpulist', cpuList, { since: '6.2' }),
  /** Their niceness. */
  estNice: setting('est_nice', integer(-20, 19), { initially: 0, since: '6.2' }),
  /**
   * A connection whose server is gone ends with its next packet. Without it the packet is dropped, and the connection
   * goes on should the server come back.
   */
  expireNodestConn: setting('expire_nodest_conn', boolean, { initially: false }),
  /** A persistent client whose server has weight 0 gets another one; without it, it stays. */
  expireQuiescentTemplate: setting('expire_quiescent_template', boolean, { initially: false }),
  /** Lets packets of unknown protocols (tunnels) pass: against circles where a director is a real server too. */
  ignoreTunneled: setting('ignore_tunneled', boolean, { initially: false }),
  /** After so long an unused entry of scheduler lblc goes. */
  lblcExpirationSeconds: setting('lblc_expiration', integer(0, mostInt), {
    initially: 86_400,
    needs: 'the kernel module ip_vs_lblc',
  }),
  /** After so long an unused entry of scheduler lblcr goes. */
  lblcrExpirationSeconds: setting('lblcr_expiration', integer(0, mostInt), {
    initially: 86_400,
    needs: 'the kernel module ip_vs_lblcr',
  }),
  /** Answers with "unreachable" what real servers send for connections that are not there. */
  natIcmpSend: setting('nat_icmp_send', boolean, { initially: false }),
  /** Packets larger than the path's MTU are refused; without it, tunnels fragment them. */
  pmtuDisc: setting('pmtu_disc', boolean, { initially: true }),
  /** Rates are estimated every two seconds, which takes time where there are many thousand destinations. */
  runEstimation: setting('run_estimation', boolean, { initially: true, since: '5.16' }),
  /** Errors by ICMP are scheduled too, not only those of connections that are known. */
  scheduleIcmp: setting('schedule_icmp', boolean, { initially: false }),
  /** Defence: a table of TCP states that is harder to fill. */
  secureTcp: setting('secure_tcp', defence, { initially: 0 }),
  /** Takes SCTP connections from the middle: after a fail-over without synchronisation. */
  sloppySctp: setting('sloppy_sctp', boolean, { initially: false }),
  /** Takes TCP connections from the middle, likewise. */
  sloppyTcp: setting('sloppy_tcp', boolean, { initially: false }),
  /** What masquerading sends to clients is routed anew, from the service's address. */
  snatReroute: setting('snat_reroute', boolean, { initially: true }),
  /** Size of the table of services: 2 to this power is services per bucket, so less is a larger table. */
  svcLfactor: setting('svc_lfactor', integer(-8, 8), { since: '7.1' }),
  /** 1: of persistent services only the templates are synchronised. */
  syncPersistMode: setting('sync_persist_mode', integer(0, 1), { initially: 0 }),
  /** Threads, and UDP ports, of synchronisation. */
  syncPorts: setting('sync_ports', powerOfTwo, { initially: 1 }),
  /** Messages that may wait to be sent. */
  syncQlenMax: setting('sync_qlen_max', integer(0, Number.MAX_SAFE_INTEGER)),
  /** A connection that stays as it is is told again when its timer has moved by so much; 0: by `syncThreshold`. */
  syncRefreshPeriodSeconds: setting('sync_refresh_period', integer(0, mostInt), { initially: 0 }),
  /** How often a message is repeated within an eighth of that period. */
  syncRetries: setting('sync_retries', integer(0, 3), { initially: 0 }),
  /** Socket buffer of synchronisation; 0: as the system has it. */
  syncSockSizeBytes: setting('sync_sock_size', integer(0, mostInt), { initially: 0 }),
  /** When connections are synchronised, counted in packets. */
  syncThreshold: setting('sync_threshold', syncThreshold, { initially: { threshold: 3, period: 50 } }),
  /** The protocol that is spoken: 1, or 0 to backups older than 2.6.39. */
  syncVersion: setting('sync_version', integer(0, 1), { initially: 1 }),
} as const

/** The key of a setting. */
export type SettingKey = keyof typeof ipvsSettings
type ValueOf<S> = S extends Setting<infer T> ? T : never

/** What the namespace has set. What this kernel does not know is undefined. */
export type SettingValues = {
  readonly [K in SettingKey]: ValueOf<(typeof ipvsSettings)[K]> | undefined
} & {
  /** Settings that are not known here, by the kernel's name, as text. */
  readonly unknown: Readonly<Record<string, string>>
}

/** What to set; what is left out stays. */
export type SettingsInput = {
  readonly [K in SettingKey]?: ValueOf<(typeof ipvsSettings)[K]> | undefined
} & {
  readonly unknown?: Readonly<Record<string, string>> | undefined
}
