/** Stateful objects: what rules refer to by name. Those that are expressions too have the same attributes. */
import { ValidationError } from '../errors/index.js'
import {
  attribute,
  attributeTable,
  type AttributeType,
  be16,
  be32,
  bytesOf,
  forEachAttribute,
  InvalidValue,
  ipv4Address,
  ipv6Address,
  isObject,
  named,
  nested,
  NLA_F_NESTED,
  NLA_HDRLEN,
  NLA_TYPE_MASK,
  nulString,
  u32,
  u8,
  type AttributeTable,
  bits,
  type Decoded,
  type Encodable,
} from '../netlink/index.js'
import { connlimit } from './expressions/connlimit.js'
import { counter } from './expressions/counter.js'
import { limit } from './expressions/limit.js'
import { quota } from './expressions/quota.js'
import { synproxy } from './expressions/synproxy.js'

/** `NFPROTO_*` in a be16, as only these objects have it. */
const family16 = named(be16, { inet: 1, ip: 2, ip6: 10 })
const protocol = named(u8, { tcp: 6, udp: 17, dccp: 33, sctp: 132 })

const ctHelper = attributeTable('NFTA_CT_HELPER', {
  helper: attribute(1, 'NFTA_CT_HELPER_NAME', nulString(15)),
  family: attribute(2, 'NFTA_CT_HELPER_L3PROTO', family16),
  protocol: attribute(3, 'NFTA_CT_HELPER_L4PROTO', protocol),
})

const ctTimeout = attributeTable('NFTA_CT_TIMEOUT', {
  family: attribute(1, 'NFTA_CT_TIMEOUT_L3PROTO', family16),
  protocol: attribute(2, 'NFTA_CT_TIMEOUT_L4PROTO', protocol),
  /** Seconds for each state, as attributes that differ from protocol to protocol (nfnetlink_cttimeout.h). */
  timeouts: attribute(3, 'NFTA_CT_TIMEOUT_DATA', { ...bytesOf(), wireFlags: NLA_F_NESTED }),
})

const ctExpectation = attributeTable('NFTA_CT_EXPECT', {
  family: attribute(1, 'NFTA_CT_EXPECT_L3PROTO', family16),
  protocol: attribute(2, 'NFTA_CT_EXPECT_L4PROTO', protocol),
  port: attribute(3, 'NFTA_CT_EXPECT_DPORT', be16),
  /** In the host's order, unlike all others (nft_ct_expect_obj_init). */
  timeoutMilliseconds: attribute(4, 'NFTA_CT_EXPECT_TIMEOUT', u32),
  /** The most expectations at once. */
  size: attribute(5, 'NFTA_CT_EXPECT_SIZE', u8),
})

const secmark = attributeTable('NFTA_SECMARK', {
  context: attribute(1, 'NFTA_SECMARK_CTX', nulString(4095)),
})

const tunnelIp = attributeTable('NFTA_TUNNEL_KEY_IP', {
  source: attribute(1, 'NFTA_TUNNEL_KEY_IP_SRC', ipv4Address),
  destination: attribute(2, 'NFTA_TUNNEL_KEY_IP_DST', ipv4Address),
})
const tunnelIp6 = attributeTable('NFTA_TUNNEL_KEY_IP6', {
  source: attribute(1, 'NFTA_TUNNEL_KEY_IP6_SRC', ipv6Address),
  destination: attribute(2, 'NFTA_TUNNEL_KEY_IP6_DST', ipv6Address),
  flowLabel: attribute(3, 'NFTA_TUNNEL_KEY_IP6_FLOWLABEL', be32),
})
const tunnelVxlan = attributeTable('NFTA_TUNNEL_KEY_VXLAN', {
  gbp: attribute(1, 'NFTA_TUNNEL_KEY_VXLAN_GBP', be32),
})
const tunnelErspan = attributeTable('NFTA_TUNNEL_KEY_ERSPAN', {
  version: attribute(1, 'NFTA_TUNNEL_KEY_ERSPAN_VERSION', be32),
  index: attribute(2, 'NFTA_TUNNEL_KEY_ERSPAN_V1_INDEX', be32),
  hardwareId: attribute(3, 'NFTA_TUNNEL_KEY_ERSPAN_V2_HWID', u8),
  direction: attribute(4, 'NFTA_TUNNEL_KEY_ERSPAN_V2_DIR', u8),
})
const tunnelGeneve = attributeTable('NFTA_TUNNEL_KEY_GENEVE', {
  class: attribute(1, 'NFTA_TUNNEL_KEY_GENEVE_CLASS', be16),
  type: attribute(2, 'NFTA_TUNNEL_KEY_GENEVE_TYPE', u8),
  data: attribute(3, 'NFTA_TUNNEL_KEY_GENEVE_DATA', bytesOf(0, 128)),
})
const tunnelOptions = attributeTable('NFTA_TUNNEL_KEY_OPTS', {
  vxlan: attribute(1, 'NFTA_TUNNEL_KEY_OPTS_VXLAN', nested(tunnelVxlan)),
  erspan: attribute(2, 'NFTA_TUNNEL_KEY_OPTS_ERSPAN', nested(tunnelErspan)),
  geneve: attribute(3, 'NFTA_TUNNEL_KEY_OPTS_GENEVE', nested(tunnelGeneve)),
})
/** What the tunnel carries beside its key: of geneve several, in their order. */
type TunnelOptions<T, Option> = Omit<T, 'geneve'> & { readonly geneve?: readonly Option[] | undefined }

/**
 * The kernel takes an attribute for each option of geneve, and tells all of them in one nest until Linux 6.15, one behind
 * the other (nft_tunnel_opts_dump).
 */
const tunnelOptionList: AttributeType<
  TunnelOptions<Encodable<typeof tunnelOptions>, Encodable<typeof tunnelGeneve>>,
  TunnelOptions<Decoded<typeof tunnelOptions>, Decoded<typeof tunnelGeneve>>
> = {
  name: 'nested, options of a tunnel',
  expected: 'options of vxlan or erspan, or a list of those of geneve',
  wireFlags: NLA_F_NESTED,
  fields: () => tunnelOptions,
  write(writer, value) {
    if (!isObject(value)) throw new InvalidValue(this.expected)
    const { geneve = [], ...others } = value
    if (!Array.isArray(geneve)) throw new ValidationError('geneve', geneve, 'a list of options')
    tunnelOptions.encode(writer, others)
    const { number } = tunnelOptions.rows.geneve
    for (const [index, option] of (geneve as readonly Encodable<typeof tunnelGeneve>[]).entries()) {
      const start = writer.beginAttribute(number | NLA_F_NESTED)
      tunnelGeneve.encode(writer, option, `geneve[${index}]`)
      writer.endAttribute(start)
    }
  },
  read(bytes, view, offset, length) {
    const end = offset + length
    const { geneve: _, ...others } = tunnelOptions.decode(bytes, view, offset, end) as Decoded<
      typeof tunnelOptions
    >
    const geneve: Decoded<typeof tunnelGeneve>[] = []
    forEachAttribute(view, offset, end, (type, at, size) => {
      if ((type & NLA_TYPE_MASK) !== tunnelOptions.rows.geneve.number) return
      for (const [from, to] of repetitions(view, at, at + size)) {
        geneve.push(tunnelGeneve.decode(bytes, view, from, to))
      }
    })
    return geneve.length === 0 ? others : { ...others, geneve }
  },
}

/** Attributes in a row, parted where one of them comes again. */
function repetitions(view: DataView, offset: number, end: number): (readonly [from: number, to: number])[] {
  const parts: [from: number, to: number][] = []
  let seen = new Set<number>()
  let from = offset
  forEachAttribute(view, offset, end, (type, at) => {
    const number = type & NLA_TYPE_MASK
    if (seen.has(number)) {
      parts.push([from, at - NLA_HDRLEN])
      from = at - NLA_HDRLEN
      seen = new Set()
    }
    seen.add(number)
  })
  return [...parts, [from, end]]
}
const tunnel = attributeTable('NFTA_TUNNEL_KEY', {
  id: attribute(1, 'NFTA_TUNNEL_KEY_ID', be32),
  ip: attribute(2, 'NFTA_TUNNEL_KEY_IP', nested(tunnelIp)),
  ip6: attribute(3, 'NFTA_TUNNEL_KEY_IP6', nested(tunnelIp6)),
  flags: attribute(
    4,
    'NFTA_TUNNEL_KEY_FLAGS',
    bits(be32, { 'zero-checksum': 1, 'dont-fragment': 2, 'sequence-number': 4 }),
  ),
  tos: attribute(5, 'NFTA_TUNNEL_KEY_TOS', u8),
  ttl: attribute(6, 'NFTA_TUNNEL_KEY_TTL', u8),
  sourcePort: attribute(7, 'NFTA_TUNNEL_KEY_SPORT', be16),
  destinationPort: attribute(8, 'NFTA_TUNNEL_KEY_DPORT', be16),
  options: attribute(9, 'NFTA_TUNNEL_KEY_OPTS', tunnelOptionList),
})

/** What each type of object consists of. */
export const objectTables = {
  counter,
  quota,
  'ct-helper': ctHelper,
  limit,
  connlimit,
  tunnel,
  'ct-timeout': ctTimeout,
  secmark,
  'ct-expectation': ctExpectation,
  synproxy,
} as const
export type ObjectTables = typeof objectTables

/** For the test that holds tables against the kernel's headers. */
export const innerTables = {
  tunnelIp,
  tunnelIp6,
  tunnelVxlan,
  tunnelErspan,
  tunnelGeneve,
  tunnelOptions,
} as const

type In = Encodable<ObjectTables[keyof ObjectTables]>
type Out = Decoded<ObjectTables[keyof ObjectTables]>

/** What is inside says the object's `type`. Of one that is not known, its bytes. */
export const objectData: AttributeType<In | Uint8Array, Out | Uint8Array> = {
  name: 'nested, by type',
  expected: 'an object with the attributes of its type',
  wireFlags: NLA_F_NESTED,
  deferred: true,
  fields: (record) => tableOf(record) ?? nothing,
  write(writer, value, record) {
    const table = tableOf(record)
    if (value instanceof Uint8Array) writer.append(value)
    else if (!isObject(value) || table === undefined) throw new InvalidValue(this.expected)
    else table.encode(writer, value)
  },
  read(bytes, view, offset, length, record) {
    const table = tableOf(record)
    if (table === undefined) return bytes.slice(offset, offset + length)
    return table.decode(bytes, view, offset, offset + length)
  },
}

const nothing = { byNumber: new Map(), explain: () => undefined }

function tableOf(record: object): AttributeTable | undefined {
  const { type } = record as { readonly type?: unknown }
  if (typeof type !== 'string' || !Object.hasOwn(objectTables, type)) return undefined
  return objectTables[type as keyof ObjectTables]
}
