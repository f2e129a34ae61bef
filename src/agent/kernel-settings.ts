/** Settings of connection tracking that are configured: what they were is kept, to be restored. */
import { type Netns, readSysctl, writeSysctl } from '../net/index.js'
import type { AgentConfiguration } from './configuration.js'

const names = {
  tcpEstablishedTimeoutSeconds: 'net/netfilter/nf_conntrack_tcp_timeout_established',
  tcpCloseWaitTimeoutSeconds: 'net/netfilter/nf_conntrack_tcp_timeout_close_wait',
  tcpBeLiberal: 'net/netfilter/nf_conntrack_tcp_be_liberal',
  udpTimeoutSeconds: 'net/netfilter/nf_conntrack_udp_timeout',
  udpStreamTimeoutSeconds: 'net/netfilter/nf_conntrack_udp_timeout_stream',
} as const

/**
 * Makes them what is configured, and those that are configured no more what they were.
 * @param before  What was kept so far.
 * @returns what is to be kept now
 */
export function applySettings(
  configured: AgentConfiguration['conntrack'] = {},
  before: Readonly<Record<string, string>>,
  netns: Netns | undefined,
): Readonly<Record<string, string>> {
  const kept: Record<string, string> = {}
  for (const [field, name] of Object.entries(names)) {
    const value = configured[field as keyof typeof names]
    const was = before[name]
    if (value === undefined) {
      if (was !== undefined) writeSysctl(name, was, { netns })
      continue
    }
    const present = was ?? readSysctl(name, { netns })
    // A kernel without connection tracking has none of them.
    if (present === undefined) continue
    writeSysctl(name, String(Number(value)), { netns })
    kept[name] = present
  }
  return kept
}
