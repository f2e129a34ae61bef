/** Flows as conntrack(8) prints them: the form that eyes and scripts know. */
import { ipProtocols } from '../../address/index.js'
import type { ConntrackEvent, Flow, FlowCounters, Tuple } from '../../conntrack/index.js'

/** What conntrack(8) has no name for, it calls so. */
const unnamed = 'unknown'
const named = new Set(['icmp', 'tcp', 'udp', 'dccp', 'gre', 'icmpv6', 'sctp', 'udplite'])

/** Where its names are not the library's in capitals. */
const otherNames: Readonly<Record<string, string>> = {
  'syn-received': 'SYN_RECV',
  'syn-sent-both': 'SYN_SENT2',
  'shutdown-received': 'SHUTDOWN_RECD',
  'shutdown-acknowledgement-sent': 'SHUTDOWN_ACK_SENT',
  'heartbeat-acknowledged': 'HEARTBEAT_ACKED',
}

const stateText = (name: string): string => otherNames[name] ?? name.toUpperCase().replaceAll('-', '_')

/** By `CT_DCCP_*`. */
const dccpStates = [
  'NONE',
  'REQUEST',
  'RESPOND',
  'PARTOPEN',
  'OPEN',
  'CLOSEREQ',
  'CLOSING',
  'TIMEWAIT',
  'IGNORE',
  'INVALID',
]

/** A flow in one line. `now` in milliseconds, for how old it is. */
export function flowText(flow: Flow, now: number): string {
  const { protocol, status, counters, timestamps } = flow
  let text = `${(named.has(protocol) ? protocol : unnamed).padEnd(8)} ${numberOf(protocol)}`
  if (flow.timeoutSeconds !== undefined) text += ` ${flow.timeoutSeconds}`
  const state = flow.tcp?.state ?? flow.sctp?.state
  if (state !== undefined) text += ` ${stateText(state)}`
  if (flow.dccp?.state !== undefined) text += ` ${dccpStates[flow.dccp.state] ?? flow.dccp.state}`
  text += tupleText(flow.original)
  if (flow.original.zone !== undefined) text += ` zone-orig=${flow.original.zone}`
  text += countersText(counters?.original)
  if (!status.includes('seen-reply')) text += ' [UNREPLIED]'
  text += tupleText(flow.reply)
  if (flow.reply.zone !== undefined) text += ` zone-reply=${flow.reply.zone}`
  text += countersText(counters?.reply)
  if (status.includes('offloaded-to-hardware')) text += ' [HW_OFFLOAD]'
  else if (status.includes('offloaded')) text += ' [OFFLOAD]'
  else if (status.includes('assured')) text += ' [ASSURED]'
  // An event tells a mark only if there is one; a list tells how many hold the flow.
  if (flow.mark !== 0 || flow.use !== undefined) text += ` mark=${flow.mark}`
  if (flow.securityContext !== undefined) text += ` secctx=${flow.securityContext}`
  if (flow.zone !== 0) text += ` zone=${flow.zone}`
  if (timestamps?.start !== undefined) text += ` delta-time=${age(timestamps.start, timestamps.stop, now)}`
  if (flow.helper !== undefined) text += ` helper=${flow.helper.name}`
  if (flow.use !== undefined) text += ` use=${flow.use}`
  return text
}

/** Of a flow, whatever befell it. */
type FlowEvent = Exclude<ConntrackEvent, { event: 'resynchronise' }>

const eventNames = { new: '[NEW]', update: '[UPDATE]', destroy: '[DESTROY]' } as const

/** `    [NEW] tcp …`. */
export function eventText({ event, flow }: FlowEvent, now: number): string {
  return `${eventNames[event].padStart(9)} ${flowText(flow, now)}`
}

function numberOf(protocol: string): string {
  return String((ipProtocols as Readonly<Record<string, number>>)[protocol] ?? protocol)
}

function tupleText(tuple: Tuple): string {
  const { protocol, sourcePort = 0, destinationPort = 0 } = tuple
  const addresses = ` src=${tuple.source} dst=${tuple.destination}`
  switch (protocol) {
    case 'icmp':
    case 'icmpv6':
      return `${addresses} type=${tuple.icmpType ?? 0} code=${tuple.icmpCode ?? 0} id=${tuple.icmpId ?? 0}`
    case 'gre':
      return `${addresses} srckey=0x${sourcePort.toString(16)} dstkey=0x${destinationPort.toString(16)}`
    default:
      return named.has(protocol) ? `${addresses} sport=${sourcePort} dport=${destinationPort}` : addresses
  }
}

function countersText(counters: FlowCounters | undefined): string {
  return counters === undefined ? '' : ` packets=${counters.packets} bytes=${counters.bytes}`
}

const nanoseconds = 1_000_000_000n

function age(start: bigint, stop: bigint | undefined, now: number): bigint {
  const end = stop === undefined ? BigInt(Math.floor(now / 1000)) : stop / nanoseconds
  return end - start / nanoseconds
}
