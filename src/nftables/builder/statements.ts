/** What a rule does with a packet. */
import { ValidationError } from '../../errors/index.js'
import { isIPv4 } from '../../address/index.js'
import { nft } from '../datatypes.js'
import type { ExpressionInput } from '../expressions/index.js'
import type { Verdict } from '../kinds.js'
import { concatenated, type DataType, inetService, ipv4Addr, ipv6Addr } from './datatypes.js'
import { Field, lookedUp } from './fields.js'
import { type Entries, literalMap, literalVerdicts, type VerdictPart, type VerdictValue } from './literals.js'
import { firstRegister, type Part, registerBehind, registersOf, type RuleBuilder } from './rule.js'
import type { NamedMap, NamedSet, VerdictMap } from './sets.js'

type Of<Name extends ExpressionInput['name']> = Extract<ExpressionInput, { readonly name: Name }>

/** Any expression, for what this builder has no name for. */
export function raw(...expressions: readonly ExpressionInput[]): Part {
  return { write: (rule) => rule.push(...expressions) }
}

function verdict(data: Verdict): VerdictPart {
  return { ...raw({ name: 'immediate', destinationRegister: 0, data }), verdict: data }
}

/** The packet passes this hook. */
export const accept = verdict({ code: 'accept' })
/** The packet is gone. */
export const drop = verdict({ code: 'drop' })
/** With the next rule. */
export const goOn = verdict({ code: 'continue' })
/** Back to the chain that jumped here, or to the policy. */
export const returnVerdict = verdict({ code: 'return' })
/** With that chain, and then with the next rule. */
export const jump = (chain: string): VerdictPart => verdict({ code: 'jump', chain })
/** With that chain, and not back. */
export const goto = (chain: string): VerdictPart => verdict({ code: 'goto', chain })

/** Counts packets and bytes. */
export const counter = raw({ name: 'counter', packets: 0n, bytes: 0n })
/** The flow is not tracked. */
export const notrack = raw({ name: 'notrack' })

/**
 * Does what the map says of the field; the rule goes on if it says nothing. Instead of a map with a name, entries may stand
 * here: `vmap(tcp.dport, [[80, accept], [{ from: 90, to: 99 }, jump('web')], [otherwise, drop]])`.
 */
export function vmap<Key>(
  field: Field<Key>,
  map: VerdictMap<Key> | Entries<NoInfer<Key>, VerdictValue>,
): Part {
  return {
    write(rule) {
      const isLiteral = Symbol.iterator in map
      const { isInterval, ...named } = isLiteral ? literalVerdicts(rule, field.type, map) : lookedUp(map)
      field.loadKey(rule, firstRegister, isInterval)
      rule.push({ name: 'lookup', ...named, sourceRegister: firstRegister, destinationRegister: 0 })
    },
  }
}

/**
 * What a map has for a field: to give to `set`, to NAT, or to look up further. The rule ends where it has nothing. Instead
 * of a map with a name, entries may stand here with the type of their values:
 * `lookup(tcp.dport, [[80, 1], [443, 2]], types.mark)`.
 */
export function lookup<Key, Value>(field: Field<Key>, map: NamedMap<Key, Value>): Field<Value>
export function lookup<Key, Value>(
  field: Field<Key>,
  entries: Entries<NoInfer<Key>, NoInfer<Value>>,
  type: DataType<Value>,
): Field<Value>
export function lookup<Key, Value>(
  field: Field<Key>,
  map: NamedMap<Key, Value> | Entries<Key, Value>,
  type?: DataType<Value>,
): Field<Value> {
  const isLiteral = Symbol.iterator in map
  return new Field(
    isLiteral ? type! : map.value,
    (destinationRegister, rule) => {
      const { isInterval, ...named } = isLiteral ? literalMap(rule, field.type, type!, map) : lookedUp(map)
      field.loadKey(rule, destinationRegister, isInterval)
      return [{ name: 'lookup', ...named, sourceRegister: destinationRegister, destinationRegister }]
    },
    field.needs,
  )
}

/** Ends the rule for what is more than so much in a time, or with `over` for what is not. */
export function limit(options: {
  readonly rate: number
  readonly per: keyof typeof nft.names.unit
  /** Packets, or bytes, above the rate; 5 packets unless said. */
  readonly burst?: number | undefined
  /** What it is for. */
  readonly type?: 'packets' | 'bytes' | undefined
  readonly over?: boolean | undefined
}): Part {
  const { rate, per, type = 'packets', burst = type === 'packets' ? 5 : 0, over } = options
  if (!Number.isSafeInteger(rate) || rate < 1)
    throw new ValidationError('limit.rate', rate, 'an integer from 1')
  return raw({
    name: 'limit',
    rate: BigInt(rate),
    unitSeconds: nft.names.unit[per],
    burst,
    type,
    flags: over === true ? ['inverted'] : [],
  })
}

/** Until so many bytes have come by, or with `over` from then on. */
export function quota({
  bytes,
  over,
}: {
  /** How many. */
  readonly bytes: bigint
  readonly over?: boolean | undefined
}): Part {
  return raw({ name: 'quota', bytes, flags: over === true ? ['inverted'] : [] })
}

/** Tells the kernel's log, or with `group` a program that listens there. */
export function log(options: Omit<Of<'log'>, 'name' | 'unknown'> = {}): Part {
  return raw({ name: 'log', ...options })
}

const { icmp_code: icmpCodes, icmpv6_code: icmpv6Codes, icmpx_code: icmpxCodes } = nft.names
/** What icmpx says, in the words of each family's own messages. */
const ofFamilies = {
  'no-route': { ip: icmpCodes['net-unreachable'], ip6: icmpv6Codes['no-route'] },
  'port-unreachable': { ip: icmpCodes['port-unreachable'], ip6: icmpv6Codes['port-unreachable'] },
  'host-unreachable': { ip: icmpCodes['host-unreachable'], ip6: icmpv6Codes['addr-unreachable'] },
  'admin-prohibited': { ip: icmpCodes['admin-prohibited'], ip6: icmpv6Codes['admin-prohibited'] },
} as const

/** Refuses, and says so: with a reset of TCP, or a message of ICMP of the packet's family. */
export function reject(reason: 'tcp-reset' | keyof typeof icmpxCodes = 'port-unreachable'): Part {
  return {
    write(rule) {
      if (reason === 'tcp-reset') {
        rule.need({ on: 'transport', protocol: 6 })
        return rule.push({ name: 'reject', type: 'tcp-reset' })
      }
      const { family } = rule.place
      const isOne = family === 'ip' || family === 'ip6'
      rule.push(
        isOne
          ? { name: 'reject', type: 'icmp', icmpCode: ofFamilies[reason][family] }
          : { name: 'reject', type: 'icmpx', icmpCode: icmpxCodes[reason] },
      )
    },
  }
}

type NatFlags = Of<'nat'>['flags']

/** Where NAT sends to. */
export interface NatTarget {
  /** An address, or what a map has for it. */
  readonly address?: string | Field<string> | undefined
  /** A port, or what a map has for it. */
  readonly port?: number | Field<number> | undefined
  /** Address and port together, as a map has them. */
  readonly endpoint?: Field<readonly [string, number]> | undefined
  /** The family of the address in tables of family inet; needed where it comes from a map. */
  readonly family?: 'ip' | 'ip6' | undefined
  /** What it is told beside that. */
  readonly flags?: NatFlags
}

/** Changes the destination. */
export const dnat = (target: NatTarget): Part => nat('dnat', target)
/** Changes the source. */
export const snat = (target: NatTarget): Part => nat('snat', target)

/** What an endpoint is made of. */
export const endpoint4 = concatenated([ipv4Addr, inetService])
/** The same of IPv6. */
export const endpoint6 = concatenated([ipv6Addr, inetService])

function nat(type: 'dnat' | 'snat', { address, port, endpoint, family, flags }: NatTarget): Part {
  return {
    write(rule) {
      const of = familyOfNat(rule, address, family)
      const addressType = of === 'ip' ? ipv4Addr : ipv6Addr
      let registers: Pick<Of<'nat'>, 'addressMinimumRegister' | 'portMinimumRegister'>
      if (endpoint !== undefined) {
        endpoint.loadInto(firstRegister, rule)
        registers = {
          addressMinimumRegister: firstRegister,
          portMinimumRegister: firstRegister + registersOf(addressType.bytes),
        }
      } else {
        rule.needAll(address, port)
        const portRegister = registerBehind(addressType.bytes)
        if (address !== undefined) load(rule, firstRegister, addressType, address)
        if (port !== undefined) load(rule, portRegister, inetService, port)
        registers = {
          addressMinimumRegister: address === undefined ? undefined : firstRegister,
          portMinimumRegister: port === undefined ? undefined : portRegister,
        }
      }
      rule.push({ name: 'nat', type, family: of, ...registers, flags })
    },
  }
}

function familyOfNat(
  { place: { family } }: RuleBuilder,
  address: NatTarget['address'],
  given: 'ip' | 'ip6' | undefined,
): 'ip' | 'ip6' {
  if (given !== undefined) return given
  if (family === 'ip' || family === 'ip6') return family
  if (typeof address === 'string') return isIPv4(address) ? 'ip' : 'ip6'
  throw new ValidationError('nat.family', given, 'ip or ip6, where the table is of both')
}

function load<Value>(
  rule: RuleBuilder,
  register: number,
  type: { encode(value: Value): Uint8Array },
  value: Value | Field<Value>,
): void {
  if (value instanceof Field) value.loadInto(register, rule)
  else rule.push({ name: 'immediate', destinationRegister: register, data: type.encode(value) })
}

/** The source becomes the address of the interface that the packet leaves by. */
export function masquerade({ flags }: { readonly flags?: NatFlags } = {}): Part {
  return raw({ name: 'masq', flags })
}

/** To this host, at another port if one is given. */
export function redirect({ port, flags }: { readonly port?: number; readonly flags?: NatFlags } = {}): Part {
  return {
    write(rule) {
      if (port === undefined) return rule.push({ name: 'redir', flags })
      load(rule, firstRegister, inetService, port)
      rule.push({ name: 'redir', portMinimumRegister: firstRegister, flags })
    },
  }
}

/** To a local socket with IP_TRANSPARENT, whatever the packet is addressed to. */
export function tproxy({ address, port }: { readonly address?: string; readonly port?: number }): Part {
  return {
    write(rule) {
      const { family } = rule.place
      const of = address === undefined ? undefined : isIPv4(address) ? 'ip' : 'ip6'
      const type = of === 'ip6' ? ipv6Addr : ipv4Addr
      const portRegister = address === undefined ? firstRegister : registerBehind(type.bytes)
      if (address !== undefined) load(rule, firstRegister, type, address)
      if (port !== undefined) load(rule, portRegister, inetService, port)
      rule.push({
        name: 'tproxy',
        family: of ?? (family === 'ip' || family === 'ip6' ? family : 'unspecified'),
        addressRegister: address === undefined ? undefined : firstRegister,
        portRegister: port === undefined ? undefined : portRegister,
      })
    },
  }
}

/** Adds what the field is to a set, or gives its element a new timeout. */
export function put<Key>(
  operation: 'add' | 'update' | 'delete',
  set: NamedSet<Key>,
  field: Field<Key>,
  options: {
    readonly timeoutMilliseconds?: number | undefined
    readonly expressions?: Of<'dynset'>['expressions']
  } = {},
): Part {
  return {
    write(rule) {
      field.loadInto(firstRegister, rule)
      rule.push({ name: 'dynset', operation, set: set.name, keyRegister: firstRegister, ...options })
    },
  }
}

/** The same for a map, with what another field is. */
export function putEntry<Key, Value>(
  operation: 'add' | 'update',
  map: NamedMap<Key, Value>,
  key: Field<Key>,
  value: Field<Value>,
  { timeoutMilliseconds }: { readonly timeoutMilliseconds?: number | undefined } = {},
): Part {
  return {
    write(rule) {
      const dataRegister = registerBehind(map.key.bytes)
      rule.needAll(key, value)
      key.loadInto(firstRegister, rule)
      value.loadInto(dataRegister, rule)
      rule.push({
        name: 'dynset',
        operation,
        set: map.name,
        keyRegister: firstRegister,
        dataRegister,
        timeoutMilliseconds,
      })
    },
  }
}
