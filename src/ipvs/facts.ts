/** The facts that a diagnosis is made of: files, two requests, and nothing that changes anything. */
import { accessSync, constants, readFileSync, readlinkSync } from 'node:fs'
import { release } from 'node:os'
import { GenericFamily } from '../genetlink/index.js'
import { readFile } from '../net/files.js'
import type { Netns } from '../net/index.js'
import {
  type CallOptions,
  Connection,
  hostIsLittleEndian,
  NETLINK_GENERIC,
  NETLINK_ROUTE,
  openSocket,
  type Request,
} from '../netlink/index.js'
import type { DiagnoseOptions } from './diagnose.js'
import { type Facts, type SysctlName, sysctlNames } from './diagnosis.js'
import { readInfo } from './info.js'
import { readModuleFacts } from './modules.js'
import { IpvsSettings } from './sysctl.js'
import { IPVS_GENL_NAME, IPVS_GENL_VERSION } from './wire.js'

export async function gatherFacts(options: DiagnoseOptions): Promise<Facts> {
  const { netns, ask = true, ...call } = options
  // First, so that what it loads is seen as loaded.
  const answer = ask ? await askIpvs(netns, call) : undefined
  const sysctl = Object.fromEntries(sysctlNames.map((name) => [name, readSysctl(name, netns)]))
  return {
    platform: process.platform,
    architecture: process.arch,
    release: release(),
    elsewhere: netns === undefined ? undefined : `${enterCommand(netns)} `,
    answer,
    capabilities: effectiveCapabilities(),
    initialUserNamespace: inInitialUserNamespace(),
    modules: readModuleFacts(release()),
    loopbackUp: await loopbackUp(netns),
    sysctl: sysctl as Record<SysctlName, string | undefined>,
    sysctlWritable: isWritable('/proc/sys/net/ipv4/ip_forward'),
    settings: await new IpvsSettings(netns).read().catch(() => undefined),
  }
}

function enterCommand(netns: Netns): string {
  if (typeof netns === 'string') return `ip netns exec ${quoted(netns)}`
  const file =
    'path' in netns
      ? netns.path
      : 'pid' in netns
        ? `/proc/${netns.pid}/ns/net`
        : `/proc/${process.pid}/fd/${netns.fd}`
  return `nsenter --net=${quoted(file)}`
}

/** As a shell takes it. */
function quoted(text: string): string {
  return /^[\w./:@%+=-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}

async function askIpvs(netns: Netns | undefined, options: CallOptions): Promise<Facts['answer']> {
  try {
    const connection = new Connection(openSocket({ protocol: NETLINK_GENERIC, netns }), options)
    try {
      const family = await GenericFamily.open(connection, IPVS_GENL_NAME, IPVS_GENL_VERSION, options)
      return { version: (await readInfo(family, options)).version }
    } finally {
      connection.close()
    }
  } catch (error) {
    options.signal?.throwIfAborted()
    return { error }
  }
}

/**
 * Asked over rtnetlink: whether an address of lo can be bound does not tell, because where lo was never up every
 * address counts as broadcast (`inet_addr_type`, which is what IPVS goes by too).
 */
async function loopbackUp(netns: Netns | undefined): Promise<boolean | undefined> {
  try {
    const connection = new Connection(openSocket({ protocol: NETLINK_ROUTE, netns }))
    try {
      const [flags] = await connection.query(getLoopback, (_bytes, view, offset, end) =>
        // `struct ifinfomsg`: ifi_flags stands at 8.
        end - offset < 16 ? undefined : view.getUint32(offset + 8, hostIsLittleEndian),
      )
      return flags === undefined ? undefined : (flags & IFF_UP) !== 0
    } finally {
      connection.close()
    }
  } catch {
    return undefined
  }
}

/** linux/rtnetlink.h, linux/if.h */
const RTM_GETLINK = 18
const IFF_UP = 1
/** lo has this number in every namespace (net/core/dev.c). */
const loopbackIndex = 1

const getLoopback: Request = {
  operation: 'rtnetlink.getLink',
  object: { interface: 'lo' },
  write(writer, flags, sequence) {
    const start = writer.beginMessage(RTM_GETLINK, flags, sequence)
    for (const word of [0, loopbackIndex, 0, 0]) writer.u32(word)
    writer.endMessage(start)
  },
}

function readSysctl(name: SysctlName, netns: Netns | undefined): string | undefined {
  const path = `/proc/sys/${name.replaceAll('.', '/')}`
  // The addon is needed for other namespaces alone, and may be what is missing.
  return attempt(() =>
    netns === undefined ? readFileSync(path, 'latin1') : readFile(path, { netns }),
  )?.trim()
}

function effectiveCapabilities(): bigint | undefined {
  const status = attempt(() => readFileSync('/proc/self/status', 'latin1'))
  const digits = /^CapEff:\s*([0-9a-f]+)$/m.exec(status ?? '')?.[1]
  return digits === undefined ? undefined : BigInt(`0x${digits}`)
}

/** The first user namespace has a fixed number: include/linux/proc_ns.h, PROC_USER_INIT_INO. */
function inInitialUserNamespace(): boolean | undefined {
  const link = attempt(() => readlinkSync('/proc/self/ns/user'))
  return link === undefined ? undefined : link === `user:[4026531837]`
}

function isWritable(path: string): boolean | undefined {
  try {
    accessSync(path, constants.W_OK)
    return true
  } catch (error) {
    return (error as { code?: unknown }).code === 'ENOENT' ? undefined : false
  }
}

function attempt<T>(work: () => T): T | undefined {
  try {
    return work()
  } catch {
    return undefined
  }
}
