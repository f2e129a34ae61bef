/**
 * Which flows are meant: as much of it as the kernel can choose by is put into the request, and all of it is looked at
 * here again. What a kernel does not know it leaves out of account, so it tells too many flows, never too few.
 */
import {
  type AddressFamily,
  canonicalAddress,
  familyOf,
  parsePrefix,
  prefixContains,
} from '../address/index.js'
import { ValidationError } from '../errors/index.js'
import { isObject } from '../netlink/index.js'
import type { Flow, FlowStatus, SctpState, TcpState } from './flow.js'
import { netfilterFamilyOf, type Prepared } from './input.js'
import type { FlowProtocol } from './protocols.js'
import type { Tuple } from './tuple.js'
import type { FilterFlag, WireFlowInput } from './wire.js'

/**
 * Some of a tuple. The kernel chooses by IPv4 addresses and, if the protocol is given, by ports of TCP and UDP (Linux
 * 5.8); everything else is chosen here: prefixes, IPv6 addresses (which the kernel compares the wrong way round, at
 * least up to Linux 6.18), ports of other protocols, and ICMP.
 */
export interface TupleFilter {
  /** An address, or a prefix: `10.0.0.0/8`. */
  readonly source?: string | undefined
  /** The same. */
  readonly destination?: string | undefined
  /** Of protocols that have ports. */
  readonly sourcePort?: number | undefined
  /** The same. */
  readonly destinationPort?: number | undefined
  /** Of ICMP and ICMPv6. */
  readonly icmpType?: number | undefined
  /** The same. */
  readonly icmpCode?: number | undefined
  /** The same. */
  readonly icmpId?: number | undefined
}

/** Which flows are meant: those that fit everything that is given. */
export interface FlowFilter {
  /** The kernel chooses by it. */
  readonly family?: AddressFamily | undefined
  /** The kernel chooses by it if the family is known, which an address tells too. */
  readonly protocol?: FlowProtocol | undefined
  /** Packets that go the way of the first one. A client is its source. */
  readonly original?: TupleFilter | undefined
  /** Packets that answer. A real server is its source, whether or not addresses are translated. */
  readonly reply?: TupleFilter | undefined
  /** Of one or both directions; 0 for those without. The kernel chooses by it since Linux 6.8. */
  readonly zone?: number | undefined
  /** All bits of the mark, or those of a mask. The kernel chooses by it. */
  readonly mark?: number | { readonly value: number; readonly mask: number } | undefined
  /** Flags that are all set. The kernel chooses by them since Linux 5.15. */
  readonly status?: readonly FlowStatus[] | undefined
  /** Flags of which none is set; the same. */
  readonly statusNot?: readonly FlowStatus[] | undefined
  /** Whether addresses are translated. The kernel chooses by it since Linux 5.15, but for `any`. */
  readonly nat?: 'source' | 'destination' | 'any' | 'none' | undefined
  /** Of TCP's tracker. Chosen here. */
  readonly tcpState?: TcpState | undefined
  /** Of SCTP's tracker. Chosen here. */
  readonly sctpState?: SctpState | undefined
  /** The name of the helper. Chosen here. */
  readonly helper?: string | undefined
  /** Bits that are all set, as the flow has them. Chosen here. */
  readonly labels?: Uint8Array | undefined
  /** Anything else: asked last, of those that fit all the rest. */
  readonly where?: ((flow: Flow) => boolean) | undefined
}

/** A filter, ready to be used. */
export interface CompiledFilter extends Prepared {
  /** Whether a flow that the kernel told is meant. */
  readonly matches: (flow: Flow) => boolean
}

type Test<T> = (value: T) => boolean

/** @throws ValidationError for what cannot be meant. */
export function compileFilter(filter: FlowFilter = {}): CompiledFilter {
  if (!isObject(filter)) throw new ValidationError('filter', filter, 'an object')
  const original = compileTuple(filter.original, 'filter.original')
  const reply = compileTuple(filter.reply, 'filter.reply')
  const family = filter.family ?? original.family ?? reply.family
  const { set, clear, other } = statusOf(filter)
  const mark = markOf(filter.mark)
  const tests = testsOf(filter, original.tests, reply.tests, family)
  if (set.length > 0 || clear.length > 0) {
    tests.push(({ status }) => set.every((flag) => status.includes(flag)))
    tests.push(({ status }) => !clear.some((flag) => status.includes(flag)))
  }
  tests.push(...other)
  if (mark !== undefined) tests.push((flow) => ((flow.mark & mark.mask) ^ mark.value) === 0)
  if (filter.where !== undefined) tests.push(filter.where)
  return {
    family: netfilterFamilyOf(family),
    record: {
      zone: filter.zone,
      mark: mark?.value,
      markMask: mark?.mask,
      ...(set.length > 0 || clear.length > 0 ? { status: set, statusMask: [...set, ...clear] } : {}),
      ...(family === undefined ? {} : kernelTuples(filter.protocol, original.kernel, reply.kernel)),
    },
    object: filter,
    matches: (flow) => tests.every((test) => test(flow)),
  }
}

function testsOf(
  filter: FlowFilter,
  original: readonly Test<Tuple>[],
  reply: readonly Test<Tuple>[],
  family: AddressFamily | undefined,
): Test<Flow>[] {
  const { protocol, zone, tcpState, sctpState, helper, labels } = filter
  const tests: Test<Flow>[] = []
  if (family !== undefined) tests.push((flow) => flow.family === family)
  if (protocol !== undefined) tests.push((flow) => flow.protocol === protocol)
  tests.push(
    ...original.map(
      (test): Test<Flow> =>
        (flow) =>
          test(flow.original),
    ),
  )
  tests.push(
    ...reply.map(
      (test): Test<Flow> =>
        (flow) =>
          test(flow.reply),
    ),
  )
  if (zone !== undefined) {
    tests.push((flow) => (flow.original.zone ?? flow.reply.zone ?? flow.zone) === zone)
  }
  if (tcpState !== undefined) tests.push((flow) => flow.tcp?.state === tcpState)
  if (sctpState !== undefined) tests.push((flow) => flow.sctp?.state === sctpState)
  if (helper !== undefined) tests.push((flow) => flow.helper?.name === helper)
  if (labels !== undefined) {
    tests.push((flow) => labels.every((byte, index) => ((flow.labels?.[index] ?? 0) & byte) === byte))
  }
  return tests
}

interface CompiledTuple {
  readonly tests: readonly Test<Tuple>[]
  readonly family: AddressFamily | undefined
  /** What the kernel can choose by. */
  readonly kernel: Pick<TupleFilter, 'source' | 'destination' | 'sourcePort' | 'destinationPort'>
}

const exactMembers = ['sourcePort', 'destinationPort', 'icmpType', 'icmpCode', 'icmpId'] as const

function compileTuple(filter: TupleFilter = {}, path: string): CompiledTuple {
  if (!isObject(filter)) throw new ValidationError(path, filter, 'an object')
  const tests: Test<Tuple>[] = []
  const kernel: { source?: string; destination?: string } = {}
  let family: AddressFamily | undefined
  for (const end of ['source', 'destination'] as const) {
    const text = filter[end]
    if (text === undefined) continue
    const prefix = typeof text === 'string' ? parsePrefix(text) : undefined
    if (prefix === undefined) {
      throw new ValidationError(`${path}.${end}`, text, 'an address, or a prefix as 10.0.0.0/8')
    }
    if (family !== undefined && family !== prefix.family) {
      throw new ValidationError(`${path}.${end}`, text, `of the family of ${path}.source`)
    }
    family = prefix.family
    const address = canonicalAddress(prefix.address)!
    if (prefix.length < (family === 'ipv4' ? 32 : 128)) {
      tests.push((tuple) => familyOf(tuple[end]) === prefix.family && prefixContains(prefix, tuple[end]))
    } else {
      tests.push((tuple) => tuple[end] === address)
      if (family === 'ipv4') kernel[end] = address
    }
  }
  for (const member of exactMembers) {
    const wanted = filter[member]
    if (wanted === undefined) continue
    if (!Number.isInteger(wanted) || wanted < 0 || wanted > 0xffff) {
      throw new ValidationError(`${path}.${member}`, wanted, 'an integer from 0 to 65535')
    }
    tests.push((tuple) => tuple[member] === wanted)
  }
  const { sourcePort, destinationPort } = filter
  return {
    tests,
    family,
    kernel: {
      ...kernel,
      ...(sourcePort === undefined ? {} : { sourcePort }),
      ...(destinationPort === undefined ? {} : { destinationPort }),
    },
  }
}

/** What of both tuples is put into the request (ctnetlink_alloc_filter, which wants a family). */
function kernelTuples(
  protocol: FlowProtocol | undefined,
  original: CompiledTuple['kernel'],
  reply: CompiledTuple['kernel'],
): Pick<WireFlowInput, 'original' | 'reply' | 'filter'> {
  const first = kernelTuple(protocol, original)
  const second = kernelTuple(undefined, reply, protocol)
  if (first.flags.length === 0 && second.flags.length === 0) return {}
  return {
    ...(first.flags.length === 0 ? {} : { original: first.tuple }),
    ...(second.flags.length === 0 ? {} : { reply: second.tuple }),
    filter: {
      ...(first.flags.length === 0 ? {} : { original: first.flags }),
      ...(second.flags.length === 0 ? {} : { reply: second.flags }),
    },
  }
}

/** `portsOf`: the protocol, which ports need; both tuples of a flow have the same, so once is enough otherwise. */
function kernelTuple(
  protocol: FlowProtocol | undefined,
  { source, destination, sourcePort, destinationPort }: CompiledTuple['kernel'],
  portsOf = protocol,
): { readonly tuple: Partial<Tuple>; readonly flags: readonly FilterFlag[] } {
  const flags: FilterFlag[] = []
  if (source !== undefined) flags.push('source')
  if (destination !== undefined) flags.push('destination')
  const hasPorts = sourcePort !== undefined || destinationPort !== undefined
  if (!hasPorts || (portsOf !== 'tcp' && portsOf !== 'udp')) {
    if (protocol !== undefined) flags.push('protocol-number')
    return { tuple: tupleOf({ source, destination, protocol }), flags }
  }
  flags.push('protocol-number')
  if (sourcePort !== undefined) flags.push('source-port')
  if (destinationPort !== undefined) flags.push('destination-port')
  return { tuple: tupleOf({ source, destination, protocol: portsOf, sourcePort, destinationPort }), flags }
}

function tupleOf(members: { readonly [K in keyof Tuple]?: Tuple[K] | undefined }): Partial<Tuple> {
  return members as Partial<Tuple>
}

/** Translation is told by flags too. */
function statusOf({ status = [], statusNot = [], nat }: FlowFilter): {
  readonly set: readonly FlowStatus[]
  readonly clear: readonly FlowStatus[]
  readonly other: readonly Test<Flow>[]
} {
  if (!Array.isArray(status)) throw new ValidationError('filter.status', status, 'a list of flags')
  if (!Array.isArray(statusNot)) throw new ValidationError('filter.statusNot', statusNot, 'a list of flags')
  const set: FlowStatus[] = [...(status as readonly FlowStatus[])]
  const clear: FlowStatus[] = [...(statusNot as readonly FlowStatus[])]
  const other: Test<Flow>[] = []
  if (nat === 'source') set.push('source-nat')
  else if (nat === 'destination') set.push('destination-nat')
  else if (nat === 'none') clear.push('source-nat', 'destination-nat')
  else if (nat === 'any') {
    other.push(({ status: has }) => has.includes('source-nat') || has.includes('destination-nat'))
  } else if (nat !== undefined) {
    throw new ValidationError('filter.nat', nat, 'one of source, destination, any, none')
  }
  return { set, clear, other }
}

function markOf(mark: FlowFilter['mark']): { readonly value: number; readonly mask: number } | undefined {
  if (mark === undefined) return undefined
  const given = typeof mark === 'number' ? { value: mark, mask: 0xffffffff } : mark
  if (!isObject(given)) throw new ValidationError('filter.mark', mark, 'a number, or { value, mask }')
  for (const [key, value] of [
    ['value', given.value],
    ['mask', given.mask],
  ] as const) {
    if (!Number.isInteger(value) || value < 0 || value > 0xffffffff) {
      throw new ValidationError(
        typeof mark === 'number' ? 'filter.mark' : `filter.mark.${key}`,
        value,
        'an integer from 0 to 4294967295',
      )
    }
  }
  // Bits beyond the mask would match nothing, in the kernel as here.
  return given
}
