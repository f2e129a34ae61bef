/** Which headers a packet has where a rule has come to, as far as its matches say; and which match said so. */
import type { Family } from '../hooks.js'
import type { Expression } from '../expressions/index.js'
import { byEtherType, byProtocol, type Header, type HeaderField, headers, type Layer } from './headers.js'
import { type PrintedType, types } from './datatypes.js'
import { type Named, partOf } from './fields.js'

type Payload = Extract<Expression, { readonly name: 'payload' }>

/** A field of the packet. */
export interface PacketField extends Named {
  readonly header: Header | undefined
  readonly field: string
}

/** A match that may go unsaid because a later one says it. */
export interface Dependency {
  /** What it says that the packet has. */
  readonly header: Header | undefined
  /** It is about the network layer's header, and says more than which transport there is. */
  readonly isOfPacket: boolean
  /** Takes it away. */
  drop(): void
}

const addresses: ReadonlySet<PrintedType> = new Set([types.ipv4, types.ipv6, types.ether])

const baseText = { link: 'll', network: 'nh', transport: 'th', inner: 'ih', tunnel: 'ih' } as const

export class Context {
  readonly family: Family
  readonly #headers: Partial<Record<Layer, Header>> = {}
  #hasVlan = false
  readonly #pending = new Map<Layer | 'vlan' | 'icmp', Dependency>()
  #icmpType: number | undefined

  constructor(family: Family) {
    this.family = family
    if (family === 'ip') this.#headers.network = headers.ip
    else if (family === 'ip6') this.#headers.network = headers.ip6
    else if (family === 'arp') this.#headers.network = headers.arp
    else if (family === 'bridge') this.#headers.link = headers.ether
  }

  /** Tables whose packets may be of either family. */
  get isBoth(): boolean {
    return this.family === 'inet' || this.family === 'bridge' || this.family === 'netdev'
  }

  /** Which network protocol it is, as far as it is known. */
  get network(): string | undefined {
    return this.#headers.network?.name
  }

  /** The header that a base points to. */
  #headerOf(base: Payload['base']): Header | undefined {
    return base === 'link' || base === 'network' || base === 'transport' ? this.#headers[base] : undefined
  }

  /** Named by base, offset and length, or by those bits of it that the mask leaves; bytes without a name otherwise. */
  field({ base, offset = 0, length = 0 }: Payload, mask: bigint | undefined): PacketField | undefined {
    const part = partOf(offset * 8, length * 8, mask)
    if (part === undefined) return undefined
    const found = this.#find(base, part.offset, part.length)
    if (found !== undefined) {
      const [header, field] = found
      return packetField(header, field, part.shift)
    }
    return mask === undefined ? rawField(base, part.offset, part.length) : undefined
  }

  #find(base: Payload['base'], offset: number, length: number): readonly [Header, HeaderField] | undefined {
    for (const header of this.#candidates(base)) {
      const at = offset - header.start
      const fields = header.fields.filter((one) => one.offset === at && one.length === length)
      const field = fields.find((one) => this.#suits(header, one)) ?? fields[0]
      if (field !== undefined) return [header, field]
    }
    return undefined
  }

  #candidates(base: Payload['base']): readonly Header[] {
    const header = this.#headerOf(base)
    if (base === 'link' && header !== undefined && this.#hasVlan) return [header, headers.vlan]
    if (header !== undefined) return [header]
    return base === 'transport' ? [headers.th] : []
  }

  /** Of ICMP the type says what stands where. */
  #suits(header: Header, { name }: HeaderField): boolean {
    const meant = icmpTypesOf(header, name)
    return meant === undefined || (this.#icmpType !== undefined && meant.includes(this.#icmpType))
  }

  /** The field of an address of which it is the beginning. */
  longer({ base, offset = 0, length = 0 }: Payload): PacketField | undefined {
    for (const header of this.#candidates(base)) {
      const field = header.fields.find(
        (one) =>
          one.offset + header.start === offset * 8 && one.length > length * 8 && addresses.has(one.type),
      )
      if (field !== undefined) return packetField(header, field, 0)
    }
    return undefined
  }

  /** Fields one after the other that fill it, each with its bytes; undefined if they do not. */
  split(payload: Payload): { readonly field: PacketField; readonly bytes: number }[] | undefined {
    const { base, offset = 0, length = 0 } = payload
    if (this.field(payload, undefined)?.header !== undefined) return undefined
    const found: { field: PacketField; bytes: number }[] = []
    let at = offset * 8
    const end = at + length * 8
    while (at < end) {
      const next = this.#candidates(base).flatMap((header) =>
        header.fields
          .filter((one) => one.offset + header.start === at && at + one.length <= end && one.length % 8 === 0)
          .map((one) => [header, one] as const),
      )[0]
      if (next === undefined) return undefined
      found.push({ field: packetField(next[0], next[1], 0), bytes: next[1].length / 8 })
      at += next[1].length
    }
    return found
  }

  /** What a match on equality says of the packet. */
  learn(named: Named, value: bigint, drop: () => void): void {
    const { text } = named
    const { header, field } = named as Partial<PacketField>
    if (text === 'meta iiftype' || text === 'meta oiftype') {
      if (value === 1n) this.#know('link', headers.ether, false, drop)
    } else if (text === 'meta nfproto') {
      this.#know('network', value === 2n ? headers.ip : value === 10n ? headers.ip6 : undefined, false, drop)
    } else if (text === 'meta protocol' || (header === headers.ether && field === 'type')) {
      const next = byEtherType.get(Number(value))
      if (next === headers.vlan) {
        this.#hasVlan = true
        this.#pending.set('vlan', { header: next, isOfPacket: true, drop })
      } else this.#know('network', next, header !== undefined, drop)
    } else if (header === headers.vlan && field === 'type') {
      this.#know('network', byEtherType.get(Number(value)), true, drop)
    } else if (text === 'meta l4proto') {
      this.#know('transport', byProtocol.get(Number(value)), false, drop)
    } else if (field === 'protocol' || field === 'nexthdr') {
      this.#know('transport', byProtocol.get(Number(value)), true, drop)
    } else if ((header === headers.icmp || header === headers.icmpv6) && field === 'type') {
      this.#icmpType = Number(value)
      this.#pending.set('icmp', { header, isOfPacket: true, drop })
    }
  }

  #know(layer: Layer, header: Header | undefined, isOfPacket: boolean, drop: () => void): void {
    if (header === undefined) return
    this.#headers[layer] = header
    this.#pending.set(layer, { header, isOfPacket, drop })
  }

  /** A field of it is asked for: what said only that there is such a header need not be written. */
  use(named: Named, isConstant = false): void {
    const { header, field = '' } = named as Partial<PacketField>
    if (named.extends !== undefined && this.#pending.get('network')?.header === named.extends)
      this.#drop('network')
    if (header === undefined || header === headers.th) return
    if (header === headers.vlan) {
      if (isConstant && field === 'type') return
      this.#drop('vlan')
      this.#drop('link')
      return
    }
    const pending = this.#pending.get(header.layer)
    if (pending?.header === header) {
      const keeps = header.layer === 'transport' && pending.isOfPacket && this.isBoth
      if (!keeps) this.#drop(header.layer)
    }
    if (header === headers.icmp && this.#pending.get('network')?.header === headers.ip) this.#drop('network')
    if (header === headers.icmpv6 && this.#pending.get('network')?.header === headers.ip6)
      this.#drop('network')
    const meant = icmpTypesOf(header, field)
    if (
      meant !== undefined &&
      this.#icmpType !== undefined &&
      meant.includes(this.#icmpType) &&
      meant.length === 1
    ) {
      this.#drop('icmp')
    }
  }

  /** What is done says which network protocol it is. */
  useNetwork(): void {
    this.#drop('network')
  }

  #drop(layer: Layer | 'vlan' | 'icmp'): void {
    this.#pending.get(layer)?.drop()
    this.#pending.delete(layer)
  }
}

const icmpTypes: Readonly<Record<string, readonly number[]>> = {
  id: [0, 8],
  sequence: [0, 8],
  gateway: [5],
  mtu: [3],
}
const icmpv6Types: Readonly<Record<string, readonly number[]>> = {
  'parameter-problem': [4],
  mtu: [2],
  id: [128, 129],
  sequence: [128, 129],
  'max-delay': [130],
}
function icmpTypesOf(header: Header, field: string): readonly number[] | undefined {
  if (header === headers.icmp) return icmpTypes[field]
  return header === headers.icmpv6 ? icmpv6Types[field] : undefined
}

function packetField(header: Header, { name, type, length }: HeaderField, shift: number): PacketField {
  return { text: `${header.name} ${name}`, type, order: 'network', bits: length, shift, header, field: name }
}

function rawField(base: Payload['base'], offset: number, length: number): PacketField {
  const type: PrintedType = types.raw
  const text = `@${baseText[base as keyof typeof baseText] ?? 'ih'},${offset},${length}`
  return { text, type, order: 'network', bits: length, shift: 0, header: undefined, field: '' }
}
