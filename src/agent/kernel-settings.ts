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
 * Of those that are configured, what they were before they were changed: to be known before that is done.
 * @param before  What is known so far.
 */
export function settingsBefore(
  configured: AgentConfiguration['conntrack'] = {},
  before: Readonly<Record<string, string>>,
  netns: Netns | undefined,
): Readonly<Record<string, string>> {
  const found: Record<string, string> = {}
  for (const [field, name] of Object.entries(names)) {
    if (configured[field as keyof typeof names] === undefined) continue
    // A kernel without connection tracking has none of them.
    const was = before[name] ?? readSysctl(name, { netns })
    if (was !== undefined) found[name] = was
  }
  return found
}

/** Makes them what is configured, and those that are configured no more what they were. */
export function applySettings(
  configured: AgentConfiguration['conntrack'] = {},
  before: Readonly<Record<string, string>>,
  netns: Netns | undefined,
): void {
  for (const [field, name] of Object.entries(names)) {
    const was = before[name]
    if (was === undefined) continue
    const value = configured[field as keyof typeof names]
    writeSysctl(name, value === undefined ? was : String(Number(value)), { netns })
  }
}
