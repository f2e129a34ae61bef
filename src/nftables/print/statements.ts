/** What a rule does with a packet: `snat to 10.0.0.1`, `add @seen { ip saddr }`, `meta mark set 0x1`. */
import type { AnyExpression } from '../expression.js'
import type { Expression } from '../expressions/index.js'
import { durationText, type PrintedType, types } from './datatypes.js'
import { numberOf } from '../numbers.js'
import { nft } from '../datatypes.js'
import { exthdrNamed, loadNamed, named, type Named } from './fields.js'
import { type Phrases, unsaid } from './phrases.js'
import { dataOf } from './sets.js'
import { statesOf, stateText } from './state.js'
import { verdictText } from './verdict.js'

type Of<Name extends Expression['name']> = Extract<Expression, { readonly name: Name }>

export class Statements {
  readonly #phrases: Phrases

  constructor(phrases: Phrases) {
    this.#phrases = phrases
  }

  /** Undefined of what has no words. */
  say(expression: Expression): string | undefined {
    const state = stateText(expression)
    if (state !== undefined) return state
    switch (expression.name) {
      case 'immediate':
        return expression.data === undefined || expression.data instanceof Uint8Array
          ? undefined
          : verdictText(expression.data)
      case 'notrack':
        return 'notrack'
      case 'meta':
      case 'ct':
        return this.#set(loadNamed(expression), expression.sourceRegister)
      case 'payload':
        return this.#payloadSet(expression)
      case 'exthdr':
        return this.#exthdrSet(expression)
      case 'log':
        return logText(expression)
      case 'reject':
        return this.#reject(expression)
      case 'nat':
        return this.#nat(expression)
      case 'masq':
        return this.#ports('masquerade', expression)
      case 'redir':
        return this.#ports('redirect', expression)
      case 'tproxy':
        return this.#tproxy(expression)
      case 'queue':
        return this.#queue(expression)
      case 'dup':
        return this.#dup(expression)
      case 'fwd':
        return this.#fwd(expression)
      case 'objref':
        return this.#objref(expression)
      case 'dynset':
        return this.#dynset(expression)
      case 'synproxy':
        return synproxyText(expression)
      case 'flow_offload':
        return `flow add @${expression.flowtable ?? ''}`
      default:
        return undefined
    }
  }

  #set(target: Named | undefined, register: number | undefined): string | undefined {
    if (target === undefined || register === undefined) return undefined
    const term = this.#phrases.registers.get(register, Math.ceil((target.bits + target.shift) / 8))
    return `${target.text} set ${this.#phrases.termAs(term, target)}`
  }

  /** Of bits within bytes, what stands beside them was loaded before, and is written back. */
  #payloadSet(expression: Of<'payload'>): string | undefined {
    const { sourceRegister, length = 0 } = expression
    if (sourceRegister === undefined) return undefined
    const term = this.#phrases.registers.get(sourceRegister, length)
    if (term.kind === 'masked' && term.of.kind === 'load' && isSamePlace(term.of.expression, expression)) {
      const all = (1n << BigInt(length * 8)) - 1n
      const changed = all ^ numberOf(term.mask)
      const target = this.#phrases.context.field(expression, changed)
      if (target !== undefined) {
        this.#phrases.context.use(target)
        const value = numberOf(term.xor) >> BigInt(target.shift)
        return `${target.text} set ${this.#phrases.value(target, value)}`
      }
    }
    const target = this.#phrases.context.field(expression, undefined)
    if (target === undefined) return undefined
    this.#phrases.context.use(target)
    return `${target.text} set ${this.#phrases.termAs(term, target)}`
  }

  #exthdrSet(expression: Of<'exthdr'>): string | undefined {
    if (expression.sourceRegister === undefined) {
      const option = exthdrNamed({ ...expression, flags: ['present'] }, undefined)
      return option === undefined ? undefined : `reset ${option.text}`
    }
    return this.#set(exthdrNamed(expression, undefined), expression.sourceRegister)
  }

  #reject({ type, icmpCode = 0 }: Of<'reject'>): string {
    const { family } = this.#phrases.context
    if (type === 'tcp-reset') return 'reject with tcp reset'
    const of = (codes: Readonly<Record<string, number>>): string =>
      Object.keys(codes).find((name) => codes[name] === icmpCode) ?? String(icmpCode)
    if (type === 'icmpx') {
      return icmpCode === nft.names.icmpx_code['port-unreachable']
        ? 'reject'
        : `reject with icmpx ${of(nft.names.icmpx_code)}`
    }
    const isSix = family === 'ip6' || (family !== 'ip' && this.#phrases.context.network === 'ip6')
    this.#phrases.context.useNetwork()
    const codes: Readonly<Record<string, number>> = isSix ? nft.names.icmpv6_code : nft.names.icmp_code
    if (icmpCode === codes['port-unreachable'] && (family === 'ip' || family === 'ip6')) return 'reject'
    return `reject with ${isSix ? 'icmpv6' : 'icmp'} ${of(codes)}`
  }

  #nat(expression: Of<'nat'>): string {
    const { type, family, flags = [] } = expression
    const words = [String(type)]
    const isSix = family === 'ip6'
    const address = isSix ? types.ipv6 : types.ipv4
    const {
      addressMinimumRegister: from,
      addressMaximumRegister: to,
      portMinimumRegister,
      portMaximumRegister,
    } = expression
    // Address and port, or first and last address, come from one map.
    const isOne = this.#isRest(to, address) || this.#isRest(portMinimumRegister, types.port)
    if ((this.#phrases.context.isBoth || isOne) && from !== undefined) words.push(String(family))
    if (flags.includes('netmap')) words.push('prefix')
    words.push(
      'to',
      isOne
        ? this.#phrases.given(from, address)
        : this.#endpoint(address, from, to, portMinimumRegister, portMaximumRegister),
    )
    return [...words, ...natWords(flags)].join(' ')
  }

  #isRest(register: number | undefined, { bytes = 4 }: PrintedType): boolean {
    return register !== undefined && this.#phrases.registers.get(register, bytes).kind === 'rest'
  }

  #endpoint(
    type: PrintedType,
    from: number | undefined,
    to: number | undefined,
    portFrom: number | undefined,
    portTo: number | undefined,
  ): string {
    const first = from === undefined ? '' : this.#phrases.given(from, type)
    const last = to === undefined || to === from ? '' : this.#phrases.given(to, type)
    const hasPorts = portFrom !== undefined
    const bracket = (text: string): string =>
      hasPorts && text.includes(':') && type === types.ipv6 ? `[${text}]` : text
    const addresses = last === '' || last === first ? bracket(first) : `${bracket(first)}-${bracket(last)}`
    return `${addresses}${this.#portText(portFrom, portTo)}`
  }

  #portText(from: number | undefined, to: number | undefined): string {
    if (from === undefined) return ''
    const first = this.#phrases.given(from, types.port)
    const last = to === undefined || to === from ? first : this.#phrases.given(to, types.port)
    return `:${first}${last === first ? '' : `-${last}`}`
  }

  #ports(
    verb: string,
    { portMinimumRegister, portMaximumRegister, flags = [] }: Of<'masq'> | Of<'redir'>,
  ): string {
    const ports = this.#portText(portMinimumRegister, portMaximumRegister)
    return [verb, ...(ports === '' ? [] : ['to', ports]), ...natWords(flags)].join(' ')
  }

  #tproxy({ family, addressRegister, portRegister }: Of<'tproxy'>): string {
    const of =
      this.#phrases.context.isBoth && family !== 'unspecified' && family !== undefined ? ` ${family}` : ''
    const type = family === 'ip6' ? types.ipv6 : types.ipv4
    return `tproxy${of} to ${this.#endpoint(type, addressRegister, undefined, portRegister, undefined)}`
  }

  #queue({ number = 0, total = 1, flags = [], numberRegister }: Of<'queue'>): string {
    const said = flags.length === 0 ? '' : ` flags ${flags.join(',')}`
    const to =
      numberRegister === undefined
        ? `${number}${total > 1 ? `-${number + total - 1}` : ''}`
        : this.#phrases.given(numberRegister, types.hostInteger)
    return `queue${said} to ${to}`
  }

  #dup({ addressRegister, deviceRegister }: Of<'dup'>): string {
    const { family } = this.#phrases.context
    const device =
      deviceRegister === undefined ? undefined : this.#phrases.given(deviceRegister, types.interfaceIndex)
    if (addressRegister === undefined) return `dup to ${device ?? ''}`
    const address = this.#phrases.given(addressRegister, family === 'ip6' ? types.ipv6 : types.ipv4)
    return `dup to ${address}${device === undefined ? '' : ` device ${device}`}`
  }

  #fwd({ deviceRegister, addressRegister, family }: Of<'fwd'>): string {
    const device = this.#phrases.given(deviceRegister, types.interfaceIndex)
    if (addressRegister === undefined) return `fwd to ${device}`
    const address = this.#phrases.given(addressRegister, family === 'ip6' ? types.ipv6 : types.ipv4)
    return `fwd ${String(family)} to ${address} device ${device}`
  }

  #objref({ type, object, sourceRegister, set = '', setId }: Of<'objref'>): string {
    if (object !== undefined) return `${objectWords[type ?? ''] ?? String(type)} "${object}"`
    const { key, what, known } = this.#phrases.lookedUp(sourceRegister, set, setId)
    const kind = known?.set.objectType ?? ''
    return `${objectWords[kind] ?? kind} ${key} map ${what}`
  }

  #dynset(expression: Of<'dynset'>): string {
    const {
      set = '',
      setId,
      operation = 'add',
      keyRegister = 0,
      dataRegister,
      timeoutMilliseconds,
    } = expression
    const { key, known } = this.#phrases.lookedUp(keyRegister, set, setId)
    const words = [key]
    if (timeoutMilliseconds) words.push(`timeout ${durationText(BigInt(timeoutMilliseconds))}`)
    for (const one of statesOf<AnyExpression>(expression)) words.push(stateText(one, false) ?? unsaid(one))
    if (dataRegister !== undefined) {
      const term = this.#phrases.registers.get(dataRegister, known?.set.dataLength)
      const part = known === undefined ? undefined : dataOf(known.set)?.parts[0]
      words.push(
        ':',
        this.#phrases.termAs(term, part === undefined ? named('', types.raw) : { ...part, text: '' }),
      )
    }
    return `${operation} @${set} { ${words.join(' ')} }`
  }
}

const objectWords: Readonly<Record<string, string>> = {
  counter: 'counter name',
  quota: 'quota name',
  limit: 'limit name',
  'ct-helper': 'ct helper set',
  'ct-timeout': 'ct timeout set',
  'ct-expectation': 'ct expectation set',
  secmark: 'meta secmark set',
  synproxy: 'synproxy name',
  connlimit: 'ct count name',
  tunnel: 'tunnel name',
}

function isSamePlace(one: Expression, other: Of<'payload'>): boolean {
  return (
    one.name === 'payload' &&
    one.base === other.base &&
    one.offset === other.offset &&
    one.length === other.length
  )
}

const natFlagWords = ['random', 'fully-random', 'persistent'] as const
function natWords(flags: readonly string[]): string[] {
  const words = natFlagWords.filter((flag) => flags.includes(flag))
  return words.length === 0 ? [] : [words.join(',')]
}

function synproxyText({ maximumSegmentSize, windowScale, flags = [] }: Of<'synproxy'>): string {
  const words = ['synproxy']
  if (flags.includes('mss') || flags.includes('wscale')) {
    words.push(`mss ${maximumSegmentSize ?? 0} wscale ${windowScale ?? 0}`)
  }
  if (flags.includes('timestamp')) words.push('timestamp')
  if (flags.includes('sack-permitted')) words.push('sack-perm')
  return words.join(' ')
}

function logText({ group, prefix, length, queueThreshold, level, flags = [] }: Of<'log'>): string {
  const words = ['log']
  if (prefix !== undefined) words.push(`prefix "${prefix}"`)
  if (group !== undefined) words.push(`group ${group}`)
  if (length !== undefined && length !== 0) words.push(`snaplen ${length}`)
  if (queueThreshold !== undefined && queueThreshold !== 0) words.push(`queue-threshold ${queueThreshold}`)
  if (level !== undefined && level !== 'warn') words.push(`level ${level}`)
  const tcp = [
    ...(flags.includes('tcp-sequence') ? ['sequence'] : []),
    ...(flags.includes('tcp-options') ? ['options'] : []),
  ]
  const others = [
    ...(tcp.length > 0 ? [`tcp ${tcp.join(',')}`] : []),
    ...(flags.includes('ip-options') ? ['ip options'] : []),
    ...(flags.includes('uid') ? ['skuid'] : []),
    ...(flags.includes('mac-decode') ? ['ether'] : []),
  ]
  if (flags.length >= 5) words.push('flags all')
  else for (const one of others) words.push(`flags ${one}`)
  return words.join(' ')
}
