/** What can be asked of a packet: where it is loaded from, and what its values are. */
import { ValidationError } from '../../errors/index.js'
import { ipProtocols } from '../../address/index.js'
import type { ExpressionInput } from '../expressions/index.js'
import { type Header, headers } from '../print/headers.js'
import {
  byte,
  concatenated,
  ctState,
  ctStatus,
  type DataType,
  etherType,
  fibAddrtype,
  type FlagType,
  ifaceIndex,
  ifname,
  inetProto,
  inetService,
  integer32,
  ipv4Addr,
  ipv6Addr,
  isHostNumber,
  mark,
  nfProto,
  short,
  tcpFlag,
  gid,
  icmpCode,
  icmpType,
  icmpv6Code,
  icmpv6Type,
  uid,
} from './datatypes.js'
import { boundsOf, inNetworkOrder, type IntervalOf, maskOf } from './intervals.js'
import { literalSet } from './literals.js'
import { type Dependency, firstRegister, type Part, registersOf, type RuleBuilder } from './rule.js'
import type { NamedSet } from './sets.js'

/** Something that is loaded into a register, and then compared, looked up or put elsewhere. */
export class Field<Value> {
  /** What it is for. */
  readonly type: DataType<Value>
  /** What must be asked before it is loaded. */
  readonly needs: readonly Dependency[]
  readonly #load: (register: number, rule: RuleBuilder) => readonly ExpressionInput[]

  constructor(
    type: DataType<Value>,
    load: (register: number, rule: RuleBuilder) => readonly ExpressionInput[],
    needs: readonly Dependency[] = [],
  ) {
    this.type = type
    this.needs = needs
    this.#load = load
  }

  /**
   * Appends what loads it. What it needs is asked for first, and with a register: whoever loads several asks for the needs
   * of all before (`RuleBuilder.needAll`).
   */
  loadInto(register: number, rule: RuleBuilder): void {
    for (const dependency of this.needs) rule.need(dependency)
    rule.push(...this.#load(register, rule))
  }

  /** It is this value. */
  is(value: Value): Part {
    return this.#compare('==', value)
  }

  /** It is another value. */
  isNot(value: Value): Part {
    return this.#compare('!=', value)
  }

  /** It is one of these values, ranges and prefixes, or of what a set holds. */
  in(values: readonly IntervalOf<Value>[] | NamedSet<Value>): Part {
    return this.#lookup(values, '==')
  }

  /** It is none of these. */
  notIn(values: readonly IntervalOf<Value>[] | NamedSet<Value>): Part {
    return this.#lookup(values, '!=')
  }

  /** From one value to another, both included. Numbers of the host are compared as such. */
  between(from: Value, to: Value): Part {
    return this.#bounded({ from, to } as IntervalOf<Value>, '==')
  }

  /** Below the one value, or above the other. */
  notBetween(from: Value, to: Value): Part {
    return this.#bounded({ from, to } as IntervalOf<Value>, '!=')
  }

  /** It is within a prefix, as `10.0.0.0/8`. Of addresses. */
  within(prefix: string): Part {
    return this.#prefix(prefix, '==')
  }

  /** It is outside of a prefix. */
  notWithin(prefix: string): Part {
    return this.#prefix(prefix, '!=')
  }

  /**
   * As sets of intervals have it: numbers of the host in network order, too. Appends what loads it and turns it round.
   */
  loadOrdered(register: number, rule: RuleBuilder): void {
    this.loadInto(register, rule)
    if (isHostNumber(this.type)) rule.push(byteorder(register, this.type.bytes))
  }

  #prefix(prefix: string, operation: '==' | '!='): Part {
    const { type } = this
    return {
      write: (rule) => {
        if (type.prefix === undefined) {
          throw new ValidationError(type.name, prefix, 'a type that has prefixes')
        }
        const { first, length } = type.prefix(prefix)
        this.#comparePrefix(rule, first, length, operation)
      },
    }
  }

  #bounded(given: IntervalOf<Value>, operation: '==' | '!='): Part {
    return { write: (rule) => this.#compareBounds(rule, given, operation) }
  }

  #compareBounds(rule: RuleBuilder, given: IntervalOf<Value>, operation: '==' | '!='): void {
    const { type } = this
    const { first, last, isSingle, prefixLength } = boundsOf(type, given)
    if (isSingle) return this.#compareData(rule, operation, inNetworkOrder(type, first))
    if (prefixLength !== undefined) {
      if (type.prefix !== undefined) return this.#comparePrefix(rule, first, prefixLength, operation)
      return this.#compareData(rule, operation, first.subarray(0, prefixLength / 8))
    }
    this.loadOrdered(firstRegister, rule)
    const sourceRegister = firstRegister
    if (operation === '!=') {
      rule.push({ name: 'range', sourceRegister, operation: '!=', from: first, to: last })
    } else {
      rule.push({ name: 'cmp', sourceRegister, operation: '>=', data: first })
      rule.push({ name: 'cmp', sourceRegister, operation: '<=', data: last })
    }
  }

  /** Of a header whole bytes are compared by themselves: the others are not loaded. */
  #comparePrefix(rule: RuleBuilder, address: Uint8Array, length: number, operation: '==' | '!='): void {
    const mask = maskOf(length, this.type.bytes)
    const first = address.map((byte, index) => byte & mask[index]!)
    const whole = length / 8
    if (whole === this.type.bytes) return this.#compareData(rule, operation, first)
    for (const dependency of this.needs) rule.need(dependency)
    const loads = this.#load(firstRegister, rule)
    const [load, ...more] = loads
    if (length > 0 && Number.isInteger(whole) && load?.name === 'payload' && more.length === 0) {
      rule.push({ ...load, length: whole })
      rule.push({ name: 'cmp', sourceRegister: firstRegister, operation, data: first.subarray(0, whole) })
    } else rule.push(...loads, ...maskedComparison(mask, operation, first))
  }

  /** Compares those bits of it that the mask has. */
  protected compareMasked(
    rule: RuleBuilder,
    mask: Uint8Array,
    operation: '==' | '!=',
    data: Uint8Array,
  ): void {
    this.loadInto(firstRegister, rule)
    rule.push(...maskedComparison(mask, operation, data))
  }

  #compare(operation: '==' | '!=', value: Value): Part {
    return { write: (rule) => this.#compareData(rule, operation, this.type.encode(value)) }
  }

  #compareData(rule: RuleBuilder, operation: '==' | '!=', data: Uint8Array): void {
    for (const dependency of this.needs) rule.need(dependency)
    const loads = this.#load(firstRegister, rule)
    const [load] = loads
    if (operation === '==' && load !== undefined && loads.length === 1) return rule.equal(load, data)
    rule.push(...loads, { name: 'cmp', sourceRegister: firstRegister, operation, data })
  }

  #lookup(values: readonly IntervalOf<Value>[] | NamedSet<Value>, operation: '==' | '!='): Part {
    return {
      write: (rule) => {
        const isLiteral = Array.isArray(values)
        // As nft: one value is compared, but for several fields, which are no value to the kernel.
        if (isLiteral && values.length === 1 && !('parts' in this.type)) {
          return this.#compareBounds(rule, values[0] as IntervalOf<Value>, operation)
        }
        const { isInterval, ...named } = isLiteral
          ? literalSet(rule, this.type, values as readonly IntervalOf<Value>[])
          : lookedUp(values as NamedSet<Value>)
        this.loadKey(rule, firstRegister, isInterval)
        const flags = operation === '!=' ? (['inverted'] as const) : undefined
        rule.push({ name: 'lookup', sourceRegister: firstRegister, ...named, flags })
      },
    }
  }

  /** As the set has it. */
  loadKey(rule: RuleBuilder, register: number, isOfIntervals: boolean): void {
    if (isOfIntervals) this.loadOrdered(register, rule)
    else this.loadInto(register, rule)
  }
}

function maskedComparison(
  mask: Uint8Array,
  operation: '==' | '!=',
  data: Uint8Array,
): readonly ExpressionInput[] {
  const { length } = mask
  const registers = { sourceRegister: firstRegister, destinationRegister: firstRegister }
  return [
    { name: 'bitwise', ...registers, length, mask, xor: new Uint8Array(length) },
    { name: 'cmp', sourceRegister: firstRegister, operation, data },
  ]
}

/** What a lookup names a set by that has a name. */
export function lookedUp(set: NamedSet<never>): { readonly set: string; readonly isInterval: boolean } {
  return { set: set.name, isInterval: set.isInterval }
}

/** Bits that are looked for. */
export class FlagField<Name extends string> extends Field<Name | number> {
  /** One of these is set. */
  has(...names: readonly Name[]): Part {
    return {
      write: (rule) => {
        const { type } = this
        const mask = new Uint8Array(type.bytes)
        for (const name of names) type.encode(name).forEach((bits, index) => (mask[index]! |= bits))
        this.compareMasked(rule, mask, '!=', new Uint8Array(type.bytes))
      },
    }
  }
}

/** Several fields as one, for sets and maps whose keys have as many parts. */
export function concat<const Fields extends readonly Field<never>[]>(
  ...fields: Fields
): Field<{ readonly [K in keyof Fields]: Fields[K] extends Field<infer Value> ? Value : never }> {
  const type = concatenated(fields.map((field) => field.type))
  return new Concatenation<never>(type, fields)
}

/** Each begins at a register of its own. */
class Concatenation<Value> extends Field<Value> {
  readonly #fields: readonly Field<never>[]

  constructor(type: DataType<Value>, fields: readonly Field<never>[]) {
    super(
      type,
      (register, rule) => {
        this.#each(register, (field, at) => field.loadInto(at, rule))
        return []
      },
      fields.flatMap(({ needs }) => needs),
    )
    this.#fields = fields
  }

  override loadOrdered(register: number, rule: RuleBuilder): void {
    rule.needAll(this)
    this.#each(register, (field, at) => field.loadOrdered(at, rule))
  }

  #each(register: number, work: (field: Field<never>, at: number) => void): void {
    let at = register
    for (const field of this.#fields) {
      work(field, at)
      at += registersOf(field.type.bytes)
    }
  }
}

function byteorder(register: number, bytes: number): ExpressionInput {
  return {
    name: 'byteorder',
    sourceRegister: register,
    destinationRegister: register,
    operation: 'host-to-network',
    length: bytes,
    size: bytes,
  }
}

const onIp: Dependency = { on: 'network', protocol: 'ip' }
const onIp6: Dependency = { on: 'network', protocol: 'ip6' }

/** Of whole bytes: what stands within some of them has no name here. */
function placeOf(header: Header, name: string) {
  const { offset, length } = header.fields.find((field) => field.name === name)!
  return { base: header.layer, offset: offset / 8, length: length / 8 }
}

function payload<Value>(
  header: Header,
  name: string,
  type: DataType<Value>,
  ...needs: readonly Dependency[]
): Field<Value> {
  const place = placeOf(header, name)
  return new Field(type, (destinationRegister) => [{ name: 'payload', destinationRegister, ...place }], needs)
}

/** IPv4's header. */
export const ip = {
  saddr: payload(headers.ip, 'saddr', ipv4Addr, onIp),
  daddr: payload(headers.ip, 'daddr', ipv4Addr, onIp),
  protocol: payload(headers.ip, 'protocol', inetProto, onIp),
  ttl: payload(headers.ip, 'ttl', byte, onIp),
} as const
/** IPv6's header. */
export const ip6 = {
  saddr: payload(headers.ip6, 'saddr', ipv6Addr, onIp6),
  daddr: payload(headers.ip6, 'daddr', ipv6Addr, onIp6),
  nexthdr: payload(headers.ip6, 'nexthdr', inetProto, onIp6),
  hoplimit: payload(headers.ip6, 'hoplimit', byte, onIp6),
} as const

function ports(header: Header, ...needs: readonly Dependency[]) {
  return {
    sport: payload(header, 'sport', inetService, ...needs),
    dport: payload(header, 'dport', inetService, ...needs),
  } as const
}
const on = (protocol: keyof typeof ipProtocols): Dependency => ({
  on: 'transport',
  protocol: ipProtocols[protocol],
})
/** TCP's header. */
export const tcp = {
  ...ports(headers.tcp, on('tcp')),
  flags: new FlagField(
    tcpFlag,
    (destinationRegister) => [{ name: 'payload', destinationRegister, ...placeOf(headers.tcp, 'flags') }],
    [on('tcp')],
  ),
} as const
/** Ports of UDP. */
export const udp = ports(headers.udp, on('udp'))
/** Ports of SCTP. */
export const sctp = ports(headers.sctp, on('sctp'))
/** Of whatever has ports. */
export const th = ports(headers.th)
/** ICMP's header. */
export const icmp = {
  type: payload(headers.icmp, 'type', icmpType, onIp, on('icmp')),
  code: payload(headers.icmp, 'code', icmpCode, onIp, on('icmp')),
} as const
/** ICMPv6's header. */
export const icmpv6 = {
  type: payload(headers.icmpv6, 'type', icmpv6Type, onIp6, on('icmpv6')),
  code: payload(headers.icmpv6, 'code', icmpv6Code, onIp6, on('icmpv6')),
} as const

type MetaKey = (ExpressionInput & { readonly name: 'meta' })['key']

/** One that can be set, too. */
export class SettableField<Value> extends Field<Value> {
  readonly #store: (register: number) => ExpressionInput

  constructor(
    type: DataType<Value>,
    load: (register: number) => readonly ExpressionInput[],
    store: (register: number) => ExpressionInput,
  ) {
    super(type, load)
    this.#store = store
  }

  /** Gives it this value, or that of another field. */
  set(value: Value | Field<Value>): Part {
    return {
      write: (rule) => {
        if (value instanceof Field) value.loadInto(firstRegister, rule)
        else {
          rule.push({ name: 'immediate', destinationRegister: firstRegister, data: this.type.encode(value) })
        }
        rule.push(this.#store(firstRegister))
      },
    }
  }
}

function metaField<Value>(key: MetaKey, type: DataType<Value>): Field<Value> {
  return new Field(type, (destinationRegister) => [{ name: 'meta', key, destinationRegister }])
}
function settableMeta<Value>(key: MetaKey, type: DataType<Value>): SettableField<Value> {
  return new SettableField(
    type,
    (destinationRegister) => [{ name: 'meta', key, destinationRegister }],
    (sourceRegister) => ({ name: 'meta', key, sourceRegister }),
  )
}

/** What the kernel knows of the packet. */
export const meta = {
  mark: settableMeta('mark', mark),
  priority: settableMeta('priority', integer32),
  nftrace: settableMeta('nftrace', byte),
  iif: metaField('iif', ifaceIndex),
  oif: metaField('oif', ifaceIndex),
  iifname: metaField('iifname', ifname),
  oifname: metaField('oifname', ifname),
  l4proto: metaField('l4proto', inetProto),
  nfproto: metaField('nfproto', nfProto),
  protocol: metaField('protocol', etherType),
  length: metaField('len', integer32),
  skuid: metaField('skuid', uid),
  skgid: metaField('skgid', gid),
} as const

type CtKey = (ExpressionInput & { readonly name: 'ct' })['key']
function ctFlags<Name extends string>(key: CtKey, type: FlagType<Name>): FlagField<Name> {
  return new FlagField(type, (destinationRegister) => [{ name: 'ct', key, destinationRegister }])
}

/** What connection tracking knows of the flow. */
export const ct = {
  state: ctFlags('state', ctState),
  status: ctFlags('status', ctStatus),
  mark: new SettableField(
    mark,
    (destinationRegister) => [{ name: 'ct', key: 'mark', destinationRegister }],
    (sourceRegister) => ({ name: 'ct', key: 'mark', sourceRegister }),
  ),
  direction: new Field(byte, (destinationRegister) => [
    { name: 'ct', key: 'direction', destinationRegister },
  ]),
  zone: new Field({ ...short, order: 'host' }, (destinationRegister) => [
    { name: 'ct', key: 'zone', destinationRegister },
  ]),
} as const

type FibFlags = NonNullable<(ExpressionInput & { readonly name: 'fib' })['flags']>

/** What the routing table says of these parts of the packet. */
export function fib(...flags: FibFlags) {
  const of = <Value>(result: 'oif' | 'oifname' | 'type', type: DataType<Value>): Field<Value> =>
    new Field(type, (destinationRegister) => [{ name: 'fib', destinationRegister, result, flags }])
  return {
    type: of('type', fibAddrtype),
    oif: of('oif', ifaceIndex),
    oifname: of('oifname', ifname),
  } as const
}

/** A number below `modulus`: any, or the next one. */
export function numgen(
  type: 'random' | 'incremental',
  { modulus, offset = 0 }: { readonly modulus: number; readonly offset?: number },
): Field<number> {
  return new Field(integer32, (destinationRegister) => [
    { name: 'numgen', destinationRegister, type, modulus, offset },
  ])
}

/** A number below `modulus` that is the same for the same value. */
export function jhash(
  field: Field<never>,
  {
    modulus,
    seed,
    offset = 0,
  }: { readonly modulus: number; readonly seed?: number; readonly offset?: number },
): Field<number> {
  return new Field(
    integer32,
    (destinationRegister, rule) => {
      field.loadInto(destinationRegister, rule)
      return [
        {
          name: 'hash',
          type: 'jenkins',
          sourceRegister: destinationRegister,
          destinationRegister,
          length: field.type.bytes,
          modulus,
          seed,
          offset,
        },
      ]
    },
    field.needs,
  )
}
