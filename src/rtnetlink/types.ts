/** Payload types that only rtnetlink has. */
import { type AddressFamily, familyOf, formatAddress, formatMac, parseAddress } from '../address/index.js'
import { MalformedMessageError } from '../errors/index.js'
import {
  type AttributeTable,
  type AttributeType,
  boolean8,
  type Decoded,
  type Encodable,
  flag,
  InvalidValue,
  type Field,
  isObject,
  type Layout,
  named,
  NLA_F_NESTED,
  type Rows,
  type Structure,
  u8,
} from '../netlink/index.js'

/** AF_INET, AF_INET6 in a u8. 0 asks for all of them. */
export const family = named(u8, { unspecified: 0, ipv4: 2, bridge: 7, ipv6: 10 })

export function familyNumber(name: AddressFamily): number {
  return name === 'ipv4' ? 2 : 10
}

/** Given as a flag, told as a u8 that is 0 or 1 (IFLA_VXLAN_TTL_INHERIT). */
export const toldFlag: AttributeType<boolean> = {
  name: 'flag, told as u8',
  expected: 'true (left out for false)',
  write(writer, value, record) {
    flag.write(writer, value, record)
  },
  read: (bytes, view, offset, length, record) =>
    length === 0 || boolean8.read(bytes, view, offset, length, record),
}

/** Flags by name: each on or off. */
export type Switches<Name extends string> = { readonly [K in Name]?: boolean | undefined }

/** Flags beside a mask of those that are meant: `{ gvrp: true, mvrp: false }`. What is left out is not touched. */
export function switches<Name extends string>(
  pair: Structure<{
    readonly flags: Field<readonly Name[], readonly Name[]>
    readonly mask: Field<readonly Name[]>
  }>,
): AttributeType<Switches<Name>> {
  const { names } = pair.layout.flags.type as { readonly names?: Readonly<Record<Name, number>> }
  const known = Object.keys(names ?? {}) as Name[]
  return {
    name: pair.name,
    expected: `an object of ${known.join(', ')}, each true or false`,
    write(writer, value) {
      if (!isObject(value)) throw new InvalidValue(this.expected)
      const mask = (Object.keys(value) as Name[]).filter((name) => value[name] !== undefined)
      const flags = mask.filter((name) => value[name] === true)
      if (mask.some((name) => typeof value[name] !== 'boolean')) throw new InvalidValue(this.expected)
      try {
        pair.write(writer, { flags, mask }, {})
      } catch {
        throw new InvalidValue(this.expected)
      }
    },
    read(bytes, view, offset, length, record) {
      const { flags } = pair.read(bytes, view, offset, length, record)
      // Those without a name are told where they are set.
      return Object.fromEntries(
        [...new Set([...known, ...flags])].map((name) => [name, flags.includes(name)]),
      ) as Switches<Name>
    },
  }
}

/** `02:00:5e:10:00:01`: 6 bytes of an Ethernet address; as many as they are for other links. */
export const hardwareAddress: AttributeType<string> = {
  name: 'hardware address',
  expected: 'bytes in hexadecimal with colons between them, as in 02:00:5e:10:00:01',
  write(writer, value) {
    if (typeof value !== 'string' || !/^([0-9a-f]{2}(:[0-9a-f]{2}){0,31})?$/i.test(value)) {
      throw new InvalidValue(this.expected)
    }
    // Empty for links that have none.
    for (const byte of value.split(':')) if (byte !== '') writer.u8(Number.parseInt(byte, 16))
  },
  read(bytes, _, offset, length) {
    // MAX_ADDR_LEN (include/linux/netdevice.h).
    if (length > 32) throw new MalformedMessageError(`hardware address of ${length} bytes`, offset)
    return formatMac(bytes.subarray(offset, offset + length))
  },
}

/** `struct rtvia`: a next hop of another family than the route's. */
export const via: AttributeType<string> = {
  name: 'struct rtvia',
  expected: 'an IPv4 or IPv6 address as text',
  write(writer, value) {
    const bytes = typeof value === 'string' ? parseAddress(value) : undefined
    if (bytes === undefined) throw new InvalidValue(this.expected)
    writer.u16(familyNumber(familyOf(value)))
    writer.append(bytes)
  },
  read(bytes, _, offset, length) {
    if (length !== 6 && length !== 18)
      throw new MalformedMessageError(`struct rtvia of ${length} bytes`, offset)
    return formatAddress(bytes.subarray(offset + 2, offset + length))
  },
}

/** A structure that is ignored, with attributes after it: `VETH_INFO_PEER`. */
export function behind<F extends Layout, R extends Rows>(
  header: Structure<F>,
  table: AttributeTable<R>,
): AttributeType<Encodable<AttributeTable<R>>, Decoded<AttributeTable<R>>> {
  return {
    name: `${header.name}, ${table.name}`,
    expected: 'an object',
    wireFlags: NLA_F_NESTED,
    fields: () => table,
    fieldsAt: header.bytes,
    write(writer, value) {
      if (!isObject(value)) throw new InvalidValue(this.expected)
      header.write(writer, {}, value)
      table.encode(writer, value)
    },
    read(bytes, view, offset, length) {
      if (length < header.bytes) throw new MalformedMessageError(`${header.name} of ${length} bytes`, offset)
      return table.decode(bytes, view, offset + header.bytes, offset + length) as Decoded<AttributeTable<R>>
    },
  }
}

/** Attributes whose table depends on the name beside them: `IFLA_INFO_DATA` on `IFLA_INFO_KIND`. */
export function chosenBy<T extends Readonly<Record<string, AttributeTable>>, In extends object, Out>(
  key: string,
  tables: T,
  others: AttributeTable,
): AttributeType<In, Out> {
  const tableOf = (record: object): AttributeTable => {
    const name = (record as Record<string, unknown>)[key]
    return typeof name === 'string' && Object.hasOwn(tables, name) ? tables[name]! : others
  }
  return {
    name: `nested, by ${key}`,
    expected: 'an object',
    wireFlags: NLA_F_NESTED,
    deferred: true,
    fields: tableOf,
    write(writer, value, record) {
      if (!isObject(value)) throw new InvalidValue(this.expected)
      tableOf(record).encode(writer, value)
    },
    read(bytes, view, offset, length, record) {
      return tableOf(record).decode(bytes, view, offset, offset + length) as Out
    },
  }
}
