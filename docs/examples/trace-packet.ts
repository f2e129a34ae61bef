/**
 * What becomes of a packet: a rule before all others marks those from an address, and the kernel tells of each chain and
 * rule that they go through, until they are dropped or leave this host (one that stays is told until the signal is
 * aborted). The rule is gone afterwards.
 */
import { addRule, formatRule, ip, meta, Nftables } from 'viaduct/nftables'
import type { NftablesOptions } from 'viaduct/nftables'

export interface TraceOptions extends NftablesOptions {
  /** Of whom. */
  readonly source: string
  readonly signal?: AbortSignal
  /** Called when the next packet will be told. */
  readonly onReady?: () => void
}

/** One line for each place that the first packet comes to. */
export async function tracePacket({ source, signal, onReady, ...options }: TraceOptions): Promise<string[]> {
  const nftables = await Nftables.open(options)
  const table = { family: 'inet', table: 'tracing' } as const
  const tracing = nftables
    .transaction()
    .destroy('table', { family: 'inet', name: 'tracing' })
    .add('table', { family: 'inet', name: 'tracing' })
    .add('chain', { ...table, name: 'first', hook: 'prerouting', priority: -301 })
  addRule(tracing, { ...table, chain: 'first' }, ip.saddr.is(source), meta.nftrace.set(1))
  await tracing.commit()
  const lines: string[] = []
  try {
    const rules = await nftables.rules()
    const events = nftables.trace({ signal })
    onReady?.()
    let packet: number | undefined
    let isLeaving = false
    for await (const event of events) {
      // What was lost may have been of this packet: its end, too.
      if (event.event === 'resynchronise') break
      if (event.id !== (packet ??= event.id)) continue
      const { family, table, chain, type, ruleHandle, verdict } = event
      const rule = rules.find(
        (one) => one.handle === ruleHandle && one.table === table && one.chain === chain,
      )
      const matched = rule === undefined ? '' : ` ${formatRule(rule).split('\n').slice(1).join('').trim()}`
      lines.push(`${family} ${table} ${chain} ${type} ${verdict?.code ?? ''}${matched}`.trimEnd())
      // It is told once for each chain.
      isLeaving ||= event.outgoingInterface !== undefined
      if (verdict?.code === 'drop') break
      if (isLeaving && (verdict?.code === 'accept' || type === 'policy')) break
    }
  } finally {
    await nftables.transaction().destroy('table', { family: 'inet', name: 'tracing' }).commit()
    nftables.close()
  }
  return lines
}
