import type { AddressFamily } from '../address/index.js'
import { ValidationError } from '../errors/index.js'
import type { Acknowledgement, CallOptions, Decoded, Encodable } from '../netlink/index.js'
import { prefixOf } from './addresses.js'
import { type ruleAction, type ruleFlags, ruleHeader } from './headers.js'
import { createOnly, ofType, type Requests, unlessAbsent } from './requests.js'
import { message, routeTable, rule as table } from './wire.js'

type Wire = Decoded<typeof table>
type Given = Encodable<typeof table>
type Told = 'from' | 'to' | 'priority' | 'table' | 'padding'
type Ports = 'sourcePorts' | 'destinationPorts'
/** What becomes of packets that a rule matches. */
export type RuleAction = keyof (typeof ruleAction)['names']
/** Flags of a rule. */
export type RuleFlag = keyof (typeof ruleFlags)['names']

/** A routing rule as the kernel has it. It may be given to `add` and `delete` as it is. */
export interface Rule extends Omit<Wire, Told> {
  /** Of the packets. */
  readonly family: AddressFamily
  /** The lower the earlier it is looked at; several rules may have the same. */
  readonly priority: number
  /** Only packets from there: `192.0.2.0/24`. */
  readonly from?: string | undefined
  /** Only packets to there: `198.51.100.0/24`. */
  readonly to?: string | undefined
  /** Only packets of this type of service; 0 takes all. */
  readonly tos: number
  /** What becomes of the packets: `lookup` looks into `table`. */
  readonly action: RuleAction
  /** Where `lookup` looks; 0 for other actions. */
  readonly table: number
  /** It is for packets that do not match. */
  readonly invert: boolean
  /** FIB_RULE_*: `permanent`, `unresolved`, … */
  readonly flags: readonly RuleFlag[]
}

/** Ports, both ends included. */
export interface PortRange {
  /** From 1. */
  readonly first: number
  /** Up to 65534. */
  readonly last: number
}

/** A rule to make, or (with `delete`) what must be equal in the one to delete. */
export interface RuleInput extends Omit<Given, Told | Ports> {
  /** Of the packets; may be left out where `from` or `to` says it. */
  readonly family?: AddressFamily | undefined
  /** The lower the earlier; the kernel puts it before the others (but the first) if left out. */
  readonly priority?: number | undefined
  /** Only packets from there: `192.0.2.0/24`. */
  readonly from?: string | undefined
  /** Only packets to there: `198.51.100.0/24`. */
  readonly to?: string | undefined
  /** Only packets of this type of service; 0, and left out, takes all. */
  readonly tos?: number | undefined
  /** `goto` where that is given, else `lookup`, unless said. */
  readonly action?: RuleAction | undefined
  /** Where `lookup` looks; the main table, 254, unless said. */
  readonly table?: number | undefined
  /** It is for packets that do not match. */
  readonly invert?: boolean | undefined
  /** Of TCP, UDP or SCTP, given with `ipProtocol`: one, or from the first to the last. */
  readonly sourcePorts?: number | PortRange | undefined
  /** Of TCP, UDP or SCTP, given with `ipProtocol`: one, or from the first to the last. */
  readonly destinationPorts?: number | PortRange | undefined
}

/** Which rules to list. */
export interface RuleFilter {
  /** Both unless said. */
  readonly family?: AddressFamily | undefined
  /** Only rules that look into this table. */
  readonly table?: number | undefined
  /** Only rules of this priority. */
  readonly priority?: number | undefined
}

/** Routing rules of one network namespace: which table a packet's route is looked for in. */
export class Rules {
  readonly #requests: Requests

  /** @internal */
  constructor(requests: Requests) {
    this.#requests = requests
  }

  /** In the order in which they are looked at, IPv4's first. The kernel picks the family, the rest is looked at here. */
  async list(filter: RuleFilter = {}, options?: CallOptions): Promise<Rule[]> {
    // Rules of multicast routing come by the same request, and a kernel may have no IPv6.
    const found = await unlessAbsent(
      this.#requests.dump(
        {
          operation: 'rtnetlink.listRules',
          object: filter,
          type: message.getRule,
          header: ruleHeader,
          head: { family: filter.family ?? 'unspecified' },
          table,
          record: {},
          path: 'rule',
          hint,
        },
        ofType(message.newRule, readRule),
        options,
      ),
      'EAFNOSUPPORT',
    )
    const wanted = (found ?? []).filter(
      (rule) =>
        (filter.family === undefined || rule.family === filter.family) &&
        (filter.table === undefined || rule.table === filter.table) &&
        (filter.priority === undefined || rule.priority === filter.priority),
    )
    return [
      ...wanted.filter(({ family }) => family === 'ipv4'),
      ...wanted.filter(({ family }) => family === 'ipv6'),
    ]
  }

  /** Throws EEXIST if there is the same with the same priority; one that is left out is always a new one. */
  async add(input: RuleInput, options?: CallOptions): Promise<void> {
    await this.#send(input, message.newRule, createOnly, 'rtnetlink.addRule', options)
  }

  /**
   * Deletes the first rule that is like the input in all that it says. Throws ENOENT if there is none. An input that says
   * nothing but a family is refused: it would be the first of all, by which the system knows its own addresses.
   */
  async delete(input: RuleInput, options?: CallOptions): Promise<void> {
    const { family, ...said } = input
    if (Object.values(said).every((value) => value === undefined)) {
      throw new ValidationError('rule', input, `what tells it from others${family ? ` of ${family}` : ''}`)
    }
    await this.#send(input, message.deleteRule, 0, 'rtnetlink.deleteRule', options)
  }

  async #send(
    input: RuleInput,
    type: number,
    flags: number,
    operation: string,
    options: CallOptions | undefined,
  ): Promise<void> {
    const deleting = type === message.deleteRule
    const {
      family: given,
      from: fromText,
      to: toText,
      tos,
      action: said,
      table: number,
      invert,
      ...record
    } = input
    const from = fromText === undefined ? undefined : prefixOf('rule.from', fromText, given)
    const to = toText === undefined ? undefined : prefixOf('rule.to', toText, given ?? from?.family)
    const family = given ?? from?.family ?? to?.family
    if (family !== 'ipv4' && family !== 'ipv6') {
      throw new ValidationError('rule.family', family, 'ipv4 or ipv6, or an address that says it')
    }
    const action = said ?? (input.goto !== undefined ? 'goto' : deleting ? 'unspecified' : 'lookup')
    // One that looks into the table of a VRF must not say another.
    const isMain = action === 'lookup' && input.l3mdev !== true && !deleting
    const into = number ?? (isMain ? routeTable.main : undefined)
    await this.#requests.execute(
      {
        operation,
        object: input,
        type,
        flags,
        header: ruleHeader,
        head: {
          family,
          fromLength: from?.length,
          toLength: to?.length,
          tos,
          table: into !== undefined && into < 256 ? into : 0,
          action,
          flags: invert === true ? ['invert'] : [],
        },
        table,
        record: {
          ...record,
          from: from?.length === 0 ? undefined : from?.address,
          to: to?.length === 0 ? undefined : to?.address,
          table: into,
          protocol: record.protocol ?? (deleting ? undefined : 'static'),
          sourcePorts: rangeOf(record.sourcePorts),
          destinationPorts: rangeOf(record.destinationPorts),
        },
        path: 'rule',
        hint,
      },
      options,
    )
  }
}

function rangeOf(ports: number | PortRange | undefined): PortRange | undefined {
  return typeof ports === 'number' ? { first: ports, last: ports } : ports
}

function hint({ errno, message: words }: Acknowledgement): string | undefined {
  if (errno !== -95 || words !== undefined) return undefined
  return 'The kernel has no rules: it needs CONFIG_IP_MULTIPLE_TABLES'
}

/** What stands behind the header of an RTM_NEWRULE or RTM_DELRULE. */
export const readRule = (
  bytes: Uint8Array,
  view: DataView,
  offset: number,
  end: number,
): Rule | undefined => {
  const header = ruleHeader.read(bytes, view, offset, end - offset, {})
  if (header.family !== 'ipv4' && header.family !== 'ipv6') return undefined
  const {
    from,
    to,
    priority,
    table: number,
    suppressPrefixLength,
    ...rest
  } = table.decode(bytes, view, offset + ruleHeader.bytes, end) as Wire
  return {
    family: header.family,
    priority: priority ?? 0,
    ...(from === undefined ? {} : { from: `${from}/${header.fromLength}` }),
    ...(to === undefined ? {} : { to: `${to}/${header.toLength}` }),
    tos: header.tos,
    action: header.action,
    table: number ?? header.table,
    invert: header.flags.includes('invert'),
    flags: header.flags,
    // The kernel says -1 for none.
    ...(suppressPrefixLength === undefined || suppressPrefixLength < 0 ? {} : { suppressPrefixLength }),
    ...rest,
  }
}
