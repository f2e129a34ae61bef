/** What the facts about a machine mean for IPVS, and what to do: no I/O here, diagnose.ts gathers the facts. */
import { isKernelError, isUnsupportedError } from '../errors/index.js'
import { permissionHint } from './hints.js'
import { type ModuleFacts, moduleState, type ModuleState } from './modules.js'
import { schedulers } from './schedulers.js'
import type { SettingValues } from './settings.js'

/**
 * - `ok`: as it should be
 * - `note`: IPVS works; something that may be wanted does not, or works in a way that surprises
 * - `problem`: IPVS cannot be used from here
 */
export type Level = 'ok' | 'note' | 'problem'

/** One thing that was looked at. */
export interface Finding {
  /** Stays the same between versions: `ipvs`, `module.ip_vs_mh`, `capability.net_admin`, `sysctl.net.ipv4.ip_forward`. */
  readonly id: string
  /** How bad it is. */
  readonly level: Level
  /** What was found, in one line. */
  readonly title: string
  /** What it means. */
  readonly meaning?: string
  /** What to do about it. */
  readonly remedy?: string
}

/** What IPVS needs here, and what is missing. */
export interface Diagnosis {
  /** No problem was found. */
  readonly ready: boolean
  /** `uname -r`. */
  readonly kernelRelease: string
  /** By name: `ip_vs`, `ip_vs_wlc`, `nf_conntrack` (before Linux 4.19 `nf_conntrack_ipv4`). */
  readonly modules: Readonly<Record<string, ModuleState>>
  /** All that was looked at, also what is well. */
  readonly findings: readonly Finding[]
}

/** What is undefined could not be found out. */
export interface Facts {
  readonly platform: string
  readonly architecture: string
  readonly release: string
  /**
   * Where another network namespace than the current one was asked for: what a shell puts before a command to run it
   * there, `ip netns exec NAME `.
   */
  readonly elsewhere: string | undefined
  /** What IPVS said; undefined if it was not asked. */
  readonly answer: { readonly version: string } | { readonly error: unknown } | undefined
  /** Effective capabilities, a bit each (linux/capability.h). */
  readonly capabilities: bigint | undefined
  readonly initialUserNamespace: boolean | undefined
  readonly modules: ModuleFacts
  /** Of the namespace. */
  readonly loopbackUp: boolean | undefined
  /** Files below /proc/sys, as the namespace has them. */
  readonly sysctl: Readonly<Record<SysctlName, string | undefined>>
  readonly sysctlWritable: boolean | undefined
  readonly settings: SettingValues | undefined
}

/** What else in the namespace matters to IPVS. */
export const sysctlNames = [
  'net.ipv4.ip_forward',
  'net.ipv6.conf.all.forwarding',
  'net.ipv4.conf.all.rp_filter',
  'net.ipv4.conf.default.rp_filter',
  'net.ipv6.conf.all.disable_ipv6',
] as const
export type SysctlName = (typeof sysctlNames)[number]

const CAP_NET_ADMIN = 12n
const CAP_SYS_ADMIN = 21n

export function judge(facts: Facts): Diagnosis {
  const modules = modulesOf(facts)
  const findings = [
    ...kernel(facts),
    ...ipvs(facts, modules['ip_vs'] ?? 'unknown'),
    ...otherModules(facts, modules),
    ...privileges(facts),
    ...network(facts),
    ...settings(facts),
  ]
  return {
    ready: !findings.some(({ level }) => level === 'problem'),
    kernelRelease: facts.release,
    modules,
    findings,
  }
}

function modulesOf(facts: Facts): Record<string, ModuleState> {
  const conntrack = isOlder(facts.release, 4, 19) ? 'nf_conntrack_ipv4' : 'nf_conntrack'
  const names = ['ip_vs', ...Object.keys(schedulers).map((name) => `ip_vs_${name}`), conntrack]
  const states = names.map((name) => [name, moduleState(name, optionOf(name), facts.modules)])
  const found = Object.fromEntries(states) as Record<string, ModuleState>
  // Where no file tells: it answers, so it is there.
  if (answers(facts) && found['ip_vs'] !== 'loaded') found['ip_vs'] = 'built-in'
  return found
}

/** Of the kernel's configuration. */
function optionOf(module: string): string {
  return `CONFIG_${module.toUpperCase()}`
}

function kernel({ platform, architecture, release }: Facts): Finding[] {
  const title = `${platform} ${release} (${architecture})`
  if (platform === 'linux') return [{ id: 'kernel', level: 'ok', title }]
  return [
    {
      id: 'kernel',
      level: 'problem',
      title,
      meaning: 'IPVS is a part of Linux',
      remedy: 'Run it on Linux, in a virtual machine for example',
    },
  ]
}

function ipvs(facts: Facts, state: ModuleState): Finding[] {
  const { answer } = facts
  const presence: Finding = {
    id: 'module.ip_vs',
    level: state === 'loaded' || state === 'built-in' || answer === undefined ? 'ok' : 'note',
    title: `ip_vs is ${words[state]}`,
  }
  if (answer === undefined) {
    if (['loaded', 'built-in', 'unknown'].includes(state)) return [presence]
    const comes = (state === 'loadable' || state === 'host') && facts.modules.autoload
    const level = comes ? 'note' : 'problem'
    return [{ ...presence, level, ...loading('ip_vs', state, facts) }]
  }
  if ('version' in answer) {
    return [{ id: 'ipvs', level: 'ok', title: `IPVS ${answer.version} answers` }, presence]
  }
  const { error } = answer
  if (isUnsupportedError(error) && error.feature !== 'IPVS') {
    return [
      {
        id: 'addon',
        level: 'problem',
        title: `${error.feature} is not there`,
        meaning: 'Without the addon nothing can be sent to the kernel',
        remedy: `It needs ${error.needs}`,
      },
      presence,
    ]
  }
  if (isKernelError(error, 'EPERM') && error.operation.startsWith('ipvs.')) {
    return [
      {
        id: 'ipvs',
        level: 'problem',
        title: 'IPVS is there and refuses to talk to this process',
        // Where it is plain which privilege is missing, that is told with the privilege.
        ...(has(facts, CAP_NET_ADMIN) && facts.initialUserNamespace !== false
          ? { meaning: 'Every request is answered with EPERM', remedy: permissionHint }
          : {}),
      },
      presence,
    ]
  }
  if (isKernelError(error, 'ENOENT') && error.operation === 'genetlink.getFamily') {
    const failed = 'IPVS does not answer: it is not in the kernel, and could not be loaded'
    return [
      { id: 'ipvs', level: 'problem', title: failed },
      {
        ...presence,
        level: 'problem',
        title: state === 'unknown' ? 'ip_vs is not there' : presence.title,
        ...loading('ip_vs', state, facts),
      },
    ]
  }
  const message = error instanceof Error ? error.message : String(error)
  return [{ id: 'ipvs', level: 'problem', title: `IPVS could not be asked: ${message}` }, presence]
}

const words: Readonly<Record<ModuleState, string>> = {
  'built-in': 'built in',
  loaded: 'loaded',
  loadable: 'not loaded; its file is here',
  host: 'not loaded, and its file is not in sight from here',
  locked: 'not loaded, and modules are locked',
  absent: 'not part of this kernel',
  unknown: 'built in or not: nothing in sight tells',
}

function loading(
  module: string,
  state: ModuleState,
  { release, modules }: Facts,
): Pick<Finding, 'meaning' | 'remedy'> {
  const keep = `\`modprobe ${module}\` on the host; a line \`${module}\` in /etc/modules-load.d/ipvs.conf keeps it over a reboot`
  if ((state === 'loadable' || state === 'host') && !modules.autoload) {
    return { meaning: 'kernel.modprobe is empty: the kernel loads nothing by itself', remedy: keep }
  }
  switch (state) {
    case 'loadable':
      return {
        meaning: 'The kernel loads it by itself at the first use',
        remedy: `Should that fail: ${keep}`,
      }
    case 'host':
      return {
        meaning: 'Usual in a container: the kernel looks for it in files of the host at the first use',
        remedy: `Should that fail: ${keep}`,
      }
    case 'locked':
      return {
        meaning: 'kernel.modules_disabled is 1, and stays so until the machine is booted anew',
        remedy: `Load it before modules are locked: a line \`${module}\` in /etc/modules-load.d/ipvs.conf`,
      }
    case 'absent':
    case 'unknown':
      if (modules.loaded === undefined) {
        return {
          meaning: `Linux ${release} was built without it, and takes no modules`,
          remedy: "Boot a kernel that has it (CONFIG_IP_VS), a distribution's for example",
        }
      }
      return {
        meaning: `Linux ${release} was built without it, or its package is not installed`,
        remedy: `Boot a distribution's kernel (CONFIG_IP_VS=m), or install the rest of this one's modules (linux-modules-extra-${release} on Ubuntu, the flavour without "cloud" on Debian)`,
      }
    default:
      return {}
  }
}

function otherModules(facts: Facts, modules: Readonly<Record<string, ModuleState>>): Finding[] {
  // Nothing to say of parts where the whole is missing.
  if (modules['ip_vs'] === 'absent') return []
  return Object.entries(modules)
    .filter(([name]) => name !== 'ip_vs')
    .map(([name, state]) => {
      const id = `module.${name}`
      const title = `${name} is ${words[state]}`
      if (state === 'loaded' || state === 'built-in') return { id, level: 'ok', title }
      const scheduler = name.startsWith('ip_vs_')
      if (state === 'absent') {
        return {
          id,
          level: 'note',
          title,
          meaning: scheduler
            ? `Services with scheduler ${name.slice('ip_vs_'.length)} are refused with ENOENT`
            : 'Connections of IPVS cannot be tracked (net.ipv4.vs.conntrack)',
          remedy: `Where it is wanted: a kernel with ${optionOf(name)}${scheduler ? '; else take another scheduler' : ''}`,
        }
      }
      // Nothing brings it by itself.
      if (state === 'locked' || (state !== 'unknown' && !facts.modules.autoload))
        return { id, level: 'note', title, ...loading(name, state, facts) }
      return {
        id,
        level: 'ok',
        title,
        meaning: scheduler
          ? 'The kernel loads it when a service asks for it'
          : 'The kernel loads it with ip_vs where that was built to use it',
      }
    })
}

function privileges(facts: Facts): Finding[] {
  const { capabilities, initialUserNamespace: initial, elsewhere } = facts
  const findings: Finding[] = []
  if (capabilities !== undefined) {
    const admin = has(facts, CAP_NET_ADMIN)
    findings.push({
      id: 'capability.net_admin',
      level: admin ? 'ok' : 'problem',
      title: admin ? 'CAP_NET_ADMIN is effective' : 'CAP_NET_ADMIN is missing',
      ...(admin
        ? {}
        : {
            meaning: 'IPVS refuses every request with EPERM',
            remedy:
              'Run as root, or give the container NET_ADMIN (`docker run --cap-add NET_ADMIN`, or `capabilities: { add: [NET_ADMIN] }` in a securityContext)',
          }),
    })
    const system = has(facts, CAP_SYS_ADMIN)
    findings.push({
      id: 'capability.sys_admin',
      level: system ? 'ok' : elsewhere === undefined ? 'note' : 'problem',
      title: system ? 'CAP_SYS_ADMIN is effective' : 'CAP_SYS_ADMIN is missing',
      ...(system
        ? {}
        : {
            meaning:
              'Other network namespaces cannot be made or entered ({ netns }); the current one can be used',
            remedy:
              'Start the program in the namespace, or give the container SYS_ADMIN (`--privileged` gives it)',
          }),
    })
  }
  if (initial !== undefined) {
    findings.push({
      id: 'user-namespace',
      level: initial ? 'ok' : 'problem',
      title: initial ? 'In the initial user namespace' : 'In a user namespace of its own',
      ...(initial
        ? {}
        : {
            meaning:
              'IPVS asks for CAP_NET_ADMIN in the initial user namespace; being root in another one does not count',
            remedy:
              'Rootless containers cannot use IPVS: run the container as root of the host (no `--userns-remap`, not rootless)',
          }),
    })
  }
  return findings
}

function network({ loopbackUp: up, sysctl, elsewhere: enter = '' }: Facts): Finding[] {
  const findings: Finding[] = []
  if (up !== undefined) {
    findings.push({
      id: 'loopback',
      level: up ? 'ok' : 'problem',
      title: up ? 'lo is up' : 'lo is down',
      ...(up
        ? {}
        : {
            meaning:
              'Where it was never up, no IPv4 destination can be added (EINVAL): as in a fresh namespace',
            remedy: `\`${enter}ip link set lo up\``,
          }),
    })
  }
  const disabled = sysctl['net.ipv6.conf.all.disable_ipv6']
  const withIPv6 = disabled === '0'
  if (!withIPv6) {
    findings.push({
      id: 'ipv6',
      level: 'note',
      title: disabled === undefined ? 'The kernel has no IPv6' : 'IPv6 is disabled in this namespace',
      meaning: 'IPv6 services cannot be reached',
      remedy:
        disabled === undefined
          ? 'Where it is wanted: the module ipv6, and no ipv6.disable=1 on the kernel command line'
          : `Where it is wanted: \`${enter}sysctl --write net.ipv6.conf.all.disable_ipv6=0\``,
    })
  }
  const forwarding = [
    ['net.ipv4.ip_forward', 'IPv4'],
    ['net.ipv6.conf.all.forwarding', 'IPv6'],
  ] as const
  for (const [name, family] of forwarding) {
    const value = sysctl[name]
    if (value === undefined || (family === 'IPv6' && !withIPv6)) continue
    const on = value !== '0'
    findings.push({
      id: `sysctl.${name}`,
      level: on ? 'ok' : 'note',
      title: `${name} is ${value}`,
      ...(on
        ? {}
        : {
            meaning: `With masquerading, ${family} answers of real servers are not passed on to the clients; direct routing and tunnelling do without`,
            remedy: `\`${enter}sysctl --write ${name}=1\``,
          }),
    })
  }
  const strict = (['net.ipv4.conf.all.rp_filter', 'net.ipv4.conf.default.rp_filter'] as const).filter(
    (name) => sysctl[name] === '1',
  )
  if (strict.length > 0) {
    findings.push({
      id: 'sysctl.rp_filter',
      level: 'note',
      title: `${strict.join(' and ')} ${strict.length > 1 ? 'are' : 'is'} 1`,
      meaning:
        'Packets are dropped that come in where answers to them would not go out: clients on one link and their way back on another, and on real servers what comes out of a tunnel',
      remedy: `Where such paths are meant: \`${enter}sysctl --write ${strict.map((name) => `${name}=2`).join(' ')}\` (0 for a tunnel's interface on a real server)`,
    })
  }
  return findings
}

function settings({ settings, release, sysctlWritable, elsewhere: enter = '' }: Facts): Finding[] {
  if (settings === undefined) return []
  const findings: Finding[] = []
  const note = (name: string, value: unknown, meaning: string, remedy: string): void => {
    const title = `net.ipv4.vs.${name} is ${typeof value === 'boolean' ? Number(value) : String(value)}`
    findings.push({ id: `sysctl.net.ipv4.vs.${name}`, level: 'note', title, meaning, remedy })
  }
  const set = (name: string, value: number): string =>
    `\`${enter}sysctl --write net.ipv4.vs.${name}=${value}\`, or IpvsSettings`
  const { conntrack, expireNodestConn, expireQuiescentTemplate, connReuseMode, runEstimation } = settings
  if (conntrack === false) {
    note(
      'conntrack',
      conntrack,
      'The packet filter does not see connections of IPVS: its source NAT and `ct` rules do not apply to them. It saves time',
      `Where such rules are meant to: ${set('conntrack', 1)}`,
    )
  }
  if (expireNodestConn === false) {
    note(
      'expire_nodest_conn',
      expireNodestConn,
      'Packets of connections whose server was deleted are dropped until the entry expires: clients hang. Draining a server first avoids it',
      `To have such connections ended at their next packet: ${set('expire_nodest_conn', 1)}`,
    )
  }
  if (expireQuiescentTemplate === false) {
    note(
      'expire_quiescent_template',
      expireQuiescentTemplate,
      'Persistent clients come back to their server in spite of weight 0, which holds up a drain',
      `With persistence: ${set('expire_quiescent_template', 1)}`,
    )
  }
  if (connReuseMode !== undefined && connReuseMode !== 0 && isOlder(release, 5, 9)) {
    note(
      'conn_reuse_mode',
      connReuseMode,
      'Before Linux 5.9 a client that uses a port again waits a second for its connection, with net.ipv4.vs.conntrack on',
      `Where clients open many connections: ${set('conn_reuse_mode', 0)}`,
    )
  }
  if (runEstimation === false) {
    note('run_estimation', runEstimation, 'Rates and counters do not move', set('run_estimation', 1))
  }
  if (sysctlWritable === false) {
    findings.push({
      id: 'sysctl.read-only',
      level: 'note',
      title: '/proc/sys cannot be written from here',
      meaning: 'Settings cannot be changed by this program',
      remedy:
        'Set them on the host or when the container is made (`docker run --sysctl`), or run the container privileged',
    })
  }
  return findings
}

function has({ capabilities }: Facts, bit: bigint): boolean {
  return capabilities !== undefined && ((capabilities >> bit) & 1n) === 1n
}

function answers({ answer }: Facts): boolean {
  return (
    answer !== undefined &&
    ('version' in answer ||
      (isKernelError(answer.error, 'EPERM') && answer.error.operation.startsWith('ipvs.')))
  )
}

/** Is `6.1.0-50-amd64` older than 5.9? */
function isOlder(release: string, major: number, minor: number): boolean {
  const [first = 0, second = 0] = release.split(/[.-]/).map(Number)
  return first < major || (first === major && second < minor)
}
