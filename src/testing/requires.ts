import { release } from 'node:os'
import { errnoText } from '../errors/index.js'
import { CTRL_CMD_GETFAMILY, family as familyTable, GENL_HDRLEN, GENL_ID_CTRL } from '../genetlink/wire.js'
import { type Netns, NetworkNamespace, openFile, closeDescriptor } from '../net/index.js'
import {
  forEachMessage,
  NETLINK_GENERIC,
  NETLINK_NETFILTER,
  NETLINK_ROUTE,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REQUEST,
  NLMSG_ERROR,
  NLMSG_HDRLEN,
  openSocket,
  readAcknowledgement,
  viewOf,
  Writer,
} from '../netlink/index.js'
import { linkHeader } from '../rtnetlink/headers.js'
import type { LinkKind } from '../rtnetlink/index.js'
import { link, message } from '../rtnetlink/wire.js'
import { hasCapability } from './capabilities.js'
import { sysctlPath } from './sysctl.js'

/** What a test needs of the machine. */
export interface Requirements {
  /** Network namespaces that can be made: `sandbox()`. */
  readonly sandbox?: boolean | undefined
  /** IPVS in the kernel, and the permission to use it. */
  readonly ipvs?: boolean | undefined
  /** nf_tables in the kernel, and the permission to use it. */
  readonly nftables?: boolean | undefined
  /** Connection tracking in the kernel, and the permission to use it. */
  readonly conntrack?: boolean | undefined
  /** `CAP_NET_ADMIN`, `CAP_BPF`, … in the user namespace of this process. */
  readonly capabilities?: readonly string[] | undefined
  /** Kinds of links: `dummy`, `ipip`. */
  readonly links?: readonly LinkKind[] | undefined
  /** The oldest kernel: `5.3`. */
  readonly kernel?: string | undefined
  /** Settings that can be written: `net.ipv4.ip_forward`. */
  readonly sysctls?: readonly string[] | undefined
}

/**
 * Why this machine cannot do it, or undefined if it can: what to give to a test runner's `skip`. Never throws.
 *
 * It asks the kernel itself, in a throwaway namespace, so modules are loaded where that is possible.
 */
export function requires(requirements: Requirements): string | undefined {
  try {
    return firstReason(requirements)
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

function firstReason(needs: Requirements): string | undefined {
  if (process.platform !== 'linux') return `needs Linux (this is ${process.platform})`
  if (needs.kernel !== undefined && compareVersions(release(), needs.kernel) < 0) {
    return `needs Linux ${needs.kernel} (this is ${release()})`
  }
  const missing = (needs.capabilities ?? []).find((name) => !hasCapability(name))
  if (missing !== undefined) return `needs the capability ${missing}`
  const { sandbox, ipvs, nftables, conntrack, links = [], sysctls = [] } = needs
  if (![sandbox, ipvs, nftables, conntrack, links.length > 0, sysctls.length > 0].includes(true))
    return undefined
  for (const name of ['CAP_SYS_ADMIN', 'CAP_NET_ADMIN']) {
    if (!hasCapability(name)) return `needs the capability ${name}`
  }
  const namespace = NetworkNamespace.create()
  try {
    return reasonIn(namespace, needs)
  } finally {
    namespace.close()
  }
}

function reasonIn(netns: NetworkNamespace, needs: Requirements): string | undefined {
  if (needs.sandbox === true) {
    const reason = linkReason(netns, 'veth') ?? sysctlReason(netns, 'net.ipv4.ip_forward')
    if (reason !== undefined) return reason
  }
  for (const kind of needs.links ?? []) {
    const reason = linkReason(netns, kind)
    if (reason !== undefined) return reason
  }
  for (const name of needs.sysctls ?? []) {
    const reason = sysctlReason(netns, name)
    if (reason !== undefined) return reason
  }
  return (
    (needs.ipvs === true ? ipvsReason(netns) : undefined) ??
    (needs.nftables === true ? nftablesReason(netns) : undefined) ??
    (needs.conntrack === true ? conntrackReason(netns) : undefined)
  )
}

function ipvsReason(netns: NetworkNamespace): string | undefined {
  const id = genericFamily(netns, 'IPVS')
  if (id === undefined) return 'needs IPVS in the kernel (module ip_vs)'
  // Every command of IPVS takes CAP_NET_ADMIN in the first user namespace; IPVS_CMD_GET_INFO changes nothing.
  const errno = ask(netns, NETLINK_GENERIC, id, NLM_F_ACK, (writer) =>
    writer.append(new Uint8Array([15, 1, 0, 0])),
  )
  if (errno === 0) return undefined
  return errno === -1
    ? 'needs CAP_NET_ADMIN in the first user namespace, which IPVS asks for'
    : `IPVS does not answer: ${errnoText(errno)}`
}

function nftablesReason(netns: NetworkNamespace): string | undefined {
  // NFT_MSG_GETGEN of the subsystem NFNL_SUBSYS_NFTABLES.
  return netfilterReason(netns, (10 << 8) | 16, 'nf_tables in the kernel (module nf_tables)')
}

function conntrackReason(netns: NetworkNamespace): string | undefined {
  // IPCTNL_MSG_CT_GET_STATS of the subsystem NFNL_SUBSYS_CTNETLINK.
  return netfilterReason(
    netns,
    (1 << 8) | 5,
    'connection tracking in the kernel (module nf_conntrack_netlink)',
  )
}

/** Behind the header stands `struct nfgenmsg`, all zero. */
function netfilterReason(netns: NetworkNamespace, type: number, what: string): string | undefined {
  const errno = ask(netns, NETLINK_NETFILTER, type, NLM_F_ACK, (writer) => writer.append(new Uint8Array(4)))
  if (errno === 0) return undefined
  return errno === -1 ? 'needs CAP_NET_ADMIN in the user namespace of the network namespace' : `needs ${what}`
}

function linkReason(netns: NetworkNamespace, kind: LinkKind): string | undefined {
  const errno = ask(
    netns,
    NETLINK_ROUTE,
    message.newLink,
    NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
    (writer) => {
      linkHeader.write(writer, {}, {})
      const data = kind === 'veth' ? { peer: { name: 'probe1' } } : undefined
      link.encode(writer, { name: 'probe0', info: { kind, data } })
    },
  )
  if (errno === 0) {
    ask(netns, NETLINK_ROUTE, message.deleteLink, NLM_F_ACK, (writer) => {
      linkHeader.write(writer, {}, {})
      link.encode(writer, { name: 'probe0' })
    })
    return undefined
  }
  // A tunnel for everything is there from the start in each namespace (tunl0, gre0, …): the kind is known. So it is where
  // what the kind needs of its own is missed: a number, another link.
  if (errno === -17 || errno === -22) return undefined
  return errno === -95
    ? `needs links of kind ${kind} in the kernel`
    : `a link of kind ${kind} cannot be made: ${errnoText(errno)}`
}

function sysctlReason(netns: NetworkNamespace, name: string): string | undefined {
  try {
    closeDescriptor(openFile(sysctlPath(name), { netns, flags: 1 }))
    return undefined
  } catch (error) {
    return `needs ${name} to be writable: ${error instanceof Error ? error.message : String(error)}`
  }
}

function genericFamily(netns: NetworkNamespace, name: string): number | undefined {
  let id: number | undefined
  ask(
    netns,
    NETLINK_GENERIC,
    GENL_ID_CTRL,
    NLM_F_ACK,
    (writer) => {
      writer.append(new Uint8Array([CTRL_CMD_GETFAMILY, 1, 0, 0]))
      familyTable.encode(writer, { name })
    },
    (bytes, offset, end) => {
      id = (familyTable.decode(bytes, viewOf(bytes), offset + GENL_HDRLEN, end) as { id: number }).id
    },
  )
  return id
}

/** One request, answered before the call returns: `requires` is used where nothing can be awaited. */
function ask(
  netns: Netns,
  protocol: number,
  type: number,
  flags: number,
  write: (writer: Writer) => void,
  read?: (bytes: Uint8Array, offset: number, end: number) => void,
): number {
  const writer = new Writer(512)
  const start = writer.beginMessage(type, NLM_F_REQUEST | flags, 1)
  write(writer)
  writer.endMessage(start)
  const socket = openSocket({ protocol, netns })
  try {
    const { bytes } = socket.exchangeSync!(writer.bytes, writer.length, 'batch', 5000)
    const view = viewOf(bytes)
    let errno = -110
    forEachMessage(bytes, view, (kind, replyFlags, _sequence, offset, end) => {
      if (kind === NLMSG_ERROR) errno = readAcknowledgement(bytes, view, kind, replyFlags, offset, end).errno
      else if (kind > NLMSG_HDRLEN - 1) read?.(bytes, offset, end)
    })
    return errno
  } finally {
    socket.close()
  }
}

/** `6.1.0-18-amd64` against `5.3`: below zero if the first is older. */
function compareVersions(one: string, other: string): number {
  const parts = (text: string): number[] => (/^\d+(\.\d+)*/.exec(text)?.[0] ?? '0').split('.').map(Number)
  const [a, b] = [parts(one), parts(other)]
  for (let index = 0; index < Math.max(a.length, b.length); index++) {
    const difference = (a[index] ?? 0) - (b[index] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}
