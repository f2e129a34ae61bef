/** What can be asked of a packet: where it is loaded from, and what its values are. */
import { ValidationError } from '../../errors/index.js'
import type { ExpressionInput } from '../expressions/index.js'
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
  mark,
  nfProto,
  short,
  tcpFlag,
  gid,
  uid,
} from './datatypes.js'
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

  /** It is one of these, or of what a set holds. */
  in(values: readonly Value[] | NamedSet<Value>): Part {
    return this.#lookup(values, false)
  }

  /** It is none of these. */
  notIn(values: readonly Value[] | NamedSet<Value>): Part {
    return this.#lookup(values, true)
  }

  /** From one value to another, both included. Numbers of the host are compared as such. */
  between(from: Value, to: Value): Part {
    return {
      write: (rule) => {
        this.loadInto(firstRegister, rule)
        const { type } = this
        const swap = (value: Value): Uint8Array =>
          type.order === 'host' ? toNetwork(type.encode(value)) : type.encode(value)
        if (type.order === 'host') rule.push(byteorder(type.bytes))
        rule.push({
          name: 'range',
          sourceRegister: firstRegister,
          operation: '==',
          from: swap(from),
          to: swap(to),
        })
      },
    }
  }

  /** It is within a prefix, as `10.0.0.0/8`. Of addresses. */
  within(prefix: string): Part {
    return this.#prefix(prefix, '==')
  }

  /** It is outside of a prefix. */
  notWithin(prefix: string): Part {
    return this.#prefix(prefix, '!=')
  }

  #prefix(prefix: string, operation: '==' | '!='): Part {
    return {
      write: (rule) => {
        const { type } = this
        if (type.prefix === undefined)
          throw new ValidationError(type.name, prefix, 'a type that has prefixes')
        const { first, length } = type.prefix(prefix)
        this.compareMasked(rule, maskOf(length, type.bytes), operation, first)
      },
    }
  }

  /** Compares those bits of it that the mask has. */
  protected compareMasked(
    rule: RuleBuilder,
    mask: Uint8Array,
    operation: '==' | '!=',
    data: Uint8Array,
  ): void {
    const length = mask.length
    this.loadInto(firstRegister, rule)
    rule.push(
      {
        name: 'bitwise',
        sourceRegister: firstRegister,
        destinationRegister: firstRegister,
        length,
        mask,
        xor: new Uint8Array(length),
      },
      { name: 'cmp', sourceRegister: firstRegister, operation, data },
    )
  }

  #compare(operation: '==' | '!=', value: Value): Part {
    return {
      write: (rule) => {
        const data = this.type.encode(value)
        this.loadInto(firstRegister, rule)
        rule.push({ name: 'cmp', sourceRegister: firstRegister, operation, data })
      },
    }
  }

  #lookup(values: readonly Value[] | NamedSet<Value>, isInverted: boolean): Part {
    return {
      write: (rule) => {
        const flags = isInverted ? (['inverted'] as const) : undefined
        let named: { readonly set: string; readonly setId?: number }
        if (Array.isArray(values)) {
          const { number, bytes } = this.type
          named = rule.anonymousSet(
            { keyType: number, keyLength: bytes },
            (values as readonly Value[]).map((value) => ({ key: this.type.encode(value) })),
          )
        } else named = { set: (values as NamedSet<Value>).name }
        this.loadInto(firstRegister, rule)
        rule.push({ name: 'lookup', sourceRegister: firstRegister, ...named, flags })
      },
    }
  }
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
  const load = (register: number, rule: RuleBuilder): readonly ExpressionInput[] => {
    let at = register
    for (const field of fields) {
      field.loadInto(at, rule)
      at += registersOf(field.type.bytes)
    }
    return []
  }
  return new Field(
    type,
    load,
    fields.flatMap(({ needs }) => needs),
  )
}

function byteorder(bytes: number): ExpressionInput {
  return {
    name: 'byteorder',
    sourceRegister: firstRegister,
    destinationRegister: firstRegister,
    operation: 'host-to-network',
    length: bytes,
    size: bytes,
  }
}

function toNetwork(bytes: Uint8Array): Uint8Array {
  return bytes.slice().reverse()
}

function maskOf(length: number, bytes: number): Uint8Array {
  const mask = new Uint8Array(bytes)
  for (let bit = 0; bit < length; bit++) mask[bit >> 3]! |= 0x80 >> (bit & 7)
  return mask
}

const onIp: Dependency = { on: 'network', protocol: 'ip' }
const onIp6: Dependency = { on: 'network', protocol: 'ip6' }

function payload<Value>(
  base: 'link' | 'network' | 'transport',
  offset: number,
  type: DataType<Value>,
  ...needs: readonly Dependency[]
): Field<Value> {
  const length = type.bytes
  return new Field(
    type,
    (destinationRegister) => [{ name: 'payload', destinationRegister, base, offset, length }],
    needs,
  )
}

/** IPv4's header. */
export const ip = {
  saddr: payload('network', 12, ipv4Addr, onIp),
  daddr: payload('network', 16, ipv4Addr, onIp),
  protocol: payload('network', 9, inetProto, onIp),
  ttl: payload('network', 8, byte, onIp),
} as const
/** IPv6's header. */
export const ip6 = {
  saddr: payload('network', 8, ipv6Addr, onIp6),
  daddr: payload('network', 24, ipv6Addr, onIp6),
  nexthdr: payload('network', 6, inetProto, onIp6),
  hoplimit: payload('network', 7, byte, onIp6),
} as const

function ports(protocol: number) {
  const needs: Dependency = { on: 'transport', protocol }
  return {
    sport: payload('transport', 0, inetService, needs),
    dport: payload('transport', 2, inetService, needs),
  }
}
const tcpNeeds: Dependency = { on: 'transport', protocol: 6 }
/** TCP's header. */
export const tcp = {
  ...ports(6),
  flags: new FlagField(
    tcpFlag,
    (destinationRegister) => [
      { name: 'payload', destinationRegister, base: 'transport', offset: 13, length: 1 },
    ],
    [tcpNeeds],
  ),
} as const
/** Ports of UDP. */
export const udp = ports(17)
/** Ports of SCTP. */
export const sctp = ports(132)
/** Of whatever has ports. */
export const th = {
  sport: payload('transport', 0, inetService),
  dport: payload('transport', 2, inetService),
} as const
/** ICMP's header. */
export const icmp = {
  type: payload('transport', 0, byte, { on: 'transport', protocol: 1 }),
  code: payload('transport', 1, byte, { on: 'transport', protocol: 1 }),
} as const
/** ICMPv6's header. */
export const icmpv6 = {
  type: payload('transport', 0, byte, { on: 'transport', protocol: 58 }),
  code: payload('transport', 1, byte, { on: 'transport', protocol: 58 }),
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
