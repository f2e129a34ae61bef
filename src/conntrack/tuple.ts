/**
 * Tuples: what tells the packets of one direction of a flow from all others. On the wire addresses and ports stand in
 * nests with a number of their own for each family; to the caller they are flat.
 */
import { type AddressFamily, familyOf } from '../address/index.js'
import { MalformedMessageError, ValidationError, isValidationError } from '../errors/index.js'
import {
  attribute,
  attributeTable,
  type AttributeType,
  be16,
  type Decoded,
  InvalidValue,
  ipv4Address,
  ipv6Address,
  isObject,
  nested,
  NLA_F_NESTED,
  u8,
} from '../netlink/index.js'
import { type FlowProtocol, protocol } from './protocols.js'

/** One direction of a flow. */
export interface Tuple {
  /** `'tcp'`, `'udp'`, … */
  readonly protocol: FlowProtocol
  /** The address that its packets come from. */
  readonly source: string
  /** The address that they go to. */
  readonly destination: string
  /** Of TCP, UDP, UDP-Lite, SCTP and DCCP; of GRE its key. */
  readonly sourcePort?: number | undefined
  /** The same of the other end. */
  readonly destinationPort?: number | undefined
  /** Of ICMP and ICMPv6, which have no ports. */
  readonly icmpType?: number | undefined
  /** The same. */
  readonly icmpCode?: number | undefined
  /** The same: of an echo its identifier. */
  readonly icmpId?: number | undefined
  /** The zone of this direction, where the other one has another. */
  readonly zone?: number | undefined
}

const addresses = attributeTable('CTA_IP', {
  sourceIPv4: attribute(1, 'CTA_IP_V4_SRC', ipv4Address),
  destinationIPv4: attribute(2, 'CTA_IP_V4_DST', ipv4Address),
  sourceIPv6: attribute(3, 'CTA_IP_V6_SRC', ipv6Address),
  destinationIPv6: attribute(4, 'CTA_IP_V6_DST', ipv6Address),
})

const transport = attributeTable('CTA_PROTO', {
  number: attribute(1, 'CTA_PROTO_NUM', protocol),
  sourcePort: attribute(2, 'CTA_PROTO_SRC_PORT', be16),
  destinationPort: attribute(3, 'CTA_PROTO_DST_PORT', be16),
  icmpId: attribute(4, 'CTA_PROTO_ICMP_ID', be16),
  icmpType: attribute(5, 'CTA_PROTO_ICMP_TYPE', u8),
  icmpCode: attribute(6, 'CTA_PROTO_ICMP_CODE', u8),
  icmpv6Id: attribute(7, 'CTA_PROTO_ICMPV6_ID', be16),
  icmpv6Type: attribute(8, 'CTA_PROTO_ICMPV6_TYPE', u8),
  icmpv6Code: attribute(9, 'CTA_PROTO_ICMPV6_CODE', u8),
})

const wire = attributeTable('CTA_TUPLE', {
  addresses: attribute(1, 'CTA_TUPLE_IP', nested(addresses), { always: true }),
  transport: attribute(2, 'CTA_TUPLE_PROTO', nested(transport), { always: true }),
  zone: attribute(3, 'CTA_TUPLE_ZONE', be16, { since: '4.3' }),
})

/** For the test that holds tables against the kernel's headers. */
export const tables = { addresses, transport, tuple: wire } as const

/** `addresses.sourceIPv4` is `source` to the caller, `transport.icmpv6Id` `icmpId`. */
export function flatPath(path: string): string {
  return path
    .replace(/\baddresses\.(source|destination)IPv[46]/, '$1')
    .replace(/\btransport\.icmpv6(Id|Type|Code)/, 'icmp$1')
    .replace(/\btransport\.number/, 'protocol')
    .replace(/\btransport\./, '')
}

const expected = 'a tuple such as { protocol: "tcp", source, destination, sourcePort, destinationPort }'

/** `CTA_TUPLE_*`, flat. What is left out is not written: a filter names some of it. */
export const tuple: AttributeType<Partial<Tuple>, Tuple> = {
  name: 'tuple',
  expected,
  wireFlags: NLA_F_NESTED,
  // Its values are explained by writing them, for they do not stand where the table has them.
  fields: () => ({ byNumber: wire.byNumber, explain: () => undefined }),
  write(writer, value) {
    if (!isObject(value)) throw new InvalidValue(expected)
    try {
      wire.encode(writer, nestsOf(value))
    } catch (error) {
      if (!isValidationError(error)) throw error
      throw new ValidationError(flatPath(error.path), error.value, error.expected)
    }
  },
  read(bytes, view, offset, length) {
    return flat(wire.decode(bytes, view, offset, offset + length) as Decoded<typeof wire>, offset)
  },
}

/** The family that a tuple's addresses are of. */
export function familyOfTuple({ source, destination }: Partial<Tuple>): AddressFamily | undefined {
  const address = source ?? destination
  return typeof address === 'string' ? familyOf(address) : undefined
}

function nestsOf(value: Partial<Tuple>): object {
  const { source, destination, sourcePort, destinationPort, icmpId, icmpType, icmpCode, zone } = value
  const isIPv6 = familyOfTuple(value) === 'ipv6'
  const isICMPv6 = value.protocol === 'icmpv6'
  return {
    addresses: isIPv6
      ? { sourceIPv6: source, destinationIPv6: destination }
      : { sourceIPv4: source, destinationIPv4: destination },
    transport: isICMPv6
      ? { number: value.protocol, icmpv6Id: icmpId, icmpv6Type: icmpType, icmpv6Code: icmpCode }
      : { number: value.protocol, sourcePort, destinationPort, icmpId, icmpType, icmpCode },
    zone,
  }
}

function flat({ addresses, transport, zone }: Decoded<typeof wire>, offset: number): Tuple {
  const isIPv4 = addresses.sourceIPv4 !== undefined
  const source = isIPv4 ? addresses.sourceIPv4 : addresses.sourceIPv6
  const destination = isIPv4 ? addresses.destinationIPv4 : addresses.destinationIPv6
  const { number, sourcePort, destinationPort } = transport
  if (source === undefined || destination === undefined || number === undefined) {
    throw new MalformedMessageError('a tuple without addresses or protocol', offset)
  }
  if (sourcePort !== undefined && zone === undefined) {
    return { protocol: number, source, destination, sourcePort, destinationPort }
  }
  const ports = sourcePort === undefined ? undefined : { sourcePort, destinationPort }
  const icmpType = transport.icmpType ?? transport.icmpv6Type
  const icmp =
    icmpType === undefined
      ? undefined
      : {
          icmpType,
          icmpCode: transport.icmpCode ?? transport.icmpv6Code,
          icmpId: transport.icmpId ?? transport.icmpv6Id,
        }
  return { protocol: number, source, destination, ...ports, ...icmp, ...(zone === undefined ? {} : { zone }) }
}
