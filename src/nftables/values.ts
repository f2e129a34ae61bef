/** What nf_tables' attributes hold: registers, data, verdicts. Numbers are in network order, data is raw bytes. */
import { MalformedMessageError } from '../errors/index.js'
import {
  attribute,
  attributeTable,
  type AttributeType,
  be32,
  bits,
  bytesOf,
  type Decoded,
  type FieldsTable,
  forEachAttribute,
  InvalidValue,
  isObject,
  listOf,
  named,
  nested,
  NLA_F_NESTED,
  NLA_TYPE_MASK,
  nulString,
  sbe32,
} from '../netlink/index.js'
import { netfilterFamilies } from '../nfnetlink/index.js'

/** NFT_NAME_MAXLEN is 256 with the NUL. */
export const name = nulString(255)
/** IFNAMSIZ is 16 with the NUL. */
export const deviceName = nulString(15)
/** NFT_USERDATA_MAXLEN. The kernel keeps it and does not look at it. */
export const userData = bytesOf(1, 256)

/**
 * `enum nft_registers`: 0 is the verdict, 1 to 4 hold 16 bytes each, 8 to 23 the same bytes in fours: register 1 begins
 * where 8 does, 2 where 12 does.
 */
export const register = be32

/** Registers hold four bytes each. */
export function registerBytes(bytes: number): number {
  return (bytes + 3) & ~3
}

/** NFT_DATA_VERDICT: the type of data of maps that have verdicts. */
export const verdictType = 0xffff_ff00

/** `enum nft_verdicts` and netfilter's own (include/uapi/linux/netfilter.h). */
const verdictCode = named(sbe32, {
  drop: 0,
  accept: 1,
  queue: 3,
  continue: -1,
  break: -2,
  jump: -3,
  goto: -4,
  return: -5,
})

const verdictTable = attributeTable('NFTA_VERDICT', {
  code: attribute(1, 'NFTA_VERDICT_CODE', verdictCode),
  /** Of jump and goto. */
  chain: attribute(2, 'NFTA_VERDICT_CHAIN', name),
  /** Instead of `chain`: a chain of the same transaction. */
  chainId: attribute(3, 'NFTA_VERDICT_CHAIN_ID', be32),
})
/** What becomes of a packet. */
export interface Verdict extends Decoded<typeof verdictTable> {}

/** NFT_DATA_VALUE_MAXLEN. */
const mostValueBytes = 64
const NFTA_DATA_VALUE = 1
const NFTA_DATA_VERDICT = 2
export const NFTA_LIST_ELEM = 1

const dataTable = attributeTable('NFTA_DATA', {
  value: attribute(NFTA_DATA_VALUE, 'NFTA_DATA_VALUE', bytesOf(1, mostValueBytes)),
  verdict: attribute(NFTA_DATA_VERDICT, 'NFTA_DATA_VERDICT', nested(verdictTable)),
})

/** What a register holds: bytes as they stand in the packet (or as the host has its numbers), or a verdict. */
export type Data = Uint8Array | Verdict

/** `NFTA_DATA`: a nest of either. */
export const data: AttributeType<Data> = {
  name: 'nested, value or verdict',
  expected: '1 to 64 bytes, or a verdict such as { code: "drop" }',
  wireFlags: NLA_F_NESTED,
  fields: () => dataFields,
  write(writer, value) {
    if (value instanceof Uint8Array) {
      if (value.length === 0 || value.length > mostValueBytes) throw new InvalidValue(this.expected)
      const start = writer.beginAttribute(NFTA_DATA_VALUE)
      writer.append(value)
      writer.endAttribute(start)
    } else if (isObject(value)) {
      const start = writer.beginAttribute(NFTA_DATA_VERDICT | NLA_F_NESTED)
      verdictTable.encode(writer, value)
      writer.endAttribute(start)
    } else throw new InvalidValue(this.expected)
  },
  read(bytes, view, offset, length) {
    const { value, verdict } = dataTable.decode(bytes, view, offset, offset + length) as Decoded<
      typeof dataTable
    >
    if (value === undefined && verdict === undefined) {
      throw new MalformedMessageError('NFTA_DATA with neither a value nor a verdict', offset)
    }
    return value ?? verdict!
  },
}

/** The same where it can be no verdict: keys of sets. */
export const key: AttributeType<Uint8Array> = {
  ...data,
  name: 'nested, value',
  expected: '1 to 64 bytes',
  write(writer, value, record) {
    if (!(value instanceof Uint8Array)) throw new InvalidValue(this.expected)
    data.write(writer, value, record)
  },
  read(bytes, view, offset, length, record) {
    const value = data.read(bytes, view, offset, length, record)
    if (value instanceof Uint8Array) return value
    throw new MalformedMessageError('a verdict as a key', offset)
  },
}

const dataFields: FieldsTable = {
  byNumber: dataTable.byNumber,
  explain(value, path) {
    if (!(value instanceof Uint8Array)) verdictTable.explain(value, path)
  },
}

const NFTA_DEVICE_NAME = 1
const NFTA_DEVICE_PREFIX = 2
const prefixSince = '6.17'
const deviceEntry = attributeTable('NFTA_DEVICE', {
  name: attribute(NFTA_DEVICE_NAME, 'NFTA_DEVICE_NAME', deviceName),
  /** All whose names begin so. */
  prefix: attribute(NFTA_DEVICE_PREFIX, 'NFTA_DEVICE_PREFIX', deviceName, { since: prefixSince }),
})

/** Devices by their names. With `*` at its end one stands for all that begin so, as nft has it; since 6.17. */
export const devices: AttributeType<readonly string[]> = {
  name: 'list of devices',
  expected: 'a list of device names',
  wireFlags: NLA_F_NESTED,
  entry: deviceName,
  sinceOf: (device) => (device.endsWith('*') ? prefixSince : undefined),
  write(writer, value, record) {
    if (!Array.isArray(value)) throw new InvalidValue(this.expected)
    for (const device of value as readonly unknown[]) {
      if (typeof device !== 'string') throw new InvalidValue(this.expected)
      const isPrefix = device.endsWith('*')
      const start = writer.beginAttribute(isPrefix ? NFTA_DEVICE_PREFIX : NFTA_DEVICE_NAME)
      deviceName.write(writer, isPrefix ? device.slice(0, -1) : device, record)
      writer.endAttribute(start)
    }
  },
  read(bytes, view, offset, length, record) {
    const names: string[] = []
    forEachAttribute(view, offset, offset + length, (type, at, size) => {
      const text = deviceName.read(bytes, view, at, size, record)
      names.push((type & NLA_TYPE_MASK) === NFTA_DEVICE_PREFIX ? `${text}*` : text)
    })
    return names
  },
}

/** `NFPROTO_*` in a be32. */
export const family32 = named(be32, netfilterFamilies)

/** `NF_NAT_RANGE_*` (include/uapi/linux/netfilter/nf_nat.h). */
export const natFlags = bits(
  be32,
  {
    'map-ips': 1,
    'proto-specified': 2,
    random: 4,
    persistent: 8,
    'fully-random': 0x10,
    'proto-offset': 0x20,
    netmap: 0x40,
  },
  { netmap: '5.8' },
)

/** `NFT_OBJECT_*`: stateful objects. */
export const objectType = named(
  be32,
  {
    counter: 1,
    quota: 2,
    'ct-helper': 3,
    limit: 4,
    connlimit: 5,
    tunnel: 6,
    'ct-timeout': 7,
    secmark: 8,
    'ct-expectation': 9,
    synproxy: 10,
  },
  {
    connlimit: '4.18',
    tunnel: '4.19',
    'ct-timeout': '4.19',
    secmark: '4.20',
    'ct-expectation': '5.3',
    synproxy: '5.4',
  },
)

export { verdictTable as verdict }
export const valueTables = { verdict: verdictTable, data: dataTable, deviceEntry } as const

/** A list all of whose entries are NFTA_LIST_ELEM. */
export function listElements<In, Out>(entry: Parameters<typeof listOf<In, Out>>[0]) {
  return listOf(entry, NFTA_LIST_ELEM, 0)
}
