import { type AddressFamily, parseAddress, parsePrefix } from '../address/index.js'
import { ValidationError } from '../errors/index.js'
import type { CallOptions, Decoded } from '../netlink/index.js'
import { addressHeader, type scope as scopes } from './headers.js'
import { createOnly, createOrReplace, type Device, ofType, type Requests } from './requests.js'
import { address as table, type addressFlags, message } from './wire.js'

type Wire = Decoded<typeof table>
/** What an address is and does. */
export type AddressFlag = keyof (typeof addressFlags)['names']
/** How far an address or a route is valid. */
export type Scope = keyof (typeof scopes)['names']

/** An address of a link, as the kernel has it. */
export interface InterfaceAddress extends Omit<Wire, 'address' | 'local' | 'flags'> {
  /** Index of its link. */
  readonly device: number
  /** Of `address`. */
  readonly family: AddressFamily
  /** With the length of its prefix: `192.0.2.1/24`. */
  readonly address: string
  /** The other end of a point-to-point link, with the length of the prefix. */
  readonly peer?: string | undefined
  /** How far it is valid (RT_SCOPE_*). */
  readonly scope: Scope
  /** IFA_F_*: `secondary`, `no-dad`, `deprecated`, … */
  readonly flags: readonly AddressFlag[]
}

/** An address to give to a link. */
export interface InterfaceAddressInput {
  /** Name or index of the link. */
  readonly device: Device
  /** With the length of its prefix, `192.0.2.1/24`; without one it is the address alone. */
  readonly address: string
  /** The other end of a point-to-point link: `192.0.2.2/32`. */
  readonly peer?: string | undefined
  /** IPv4 alone; none unless said. */
  readonly broadcast?: string | undefined
  /** IPv4 alone: `eth0:1`, at most 15 bytes. */
  readonly label?: string | undefined
  /** How far it is valid: `universe` unless said, `host` for 127.0.0.0/8. */
  readonly scope?: Scope | undefined
  /** `no-dad`: usable at once, without looking whether another host has it (IPv6). */
  readonly flags?: readonly AddressFlag[] | undefined
  /** Of the route to its prefix. */
  readonly metric?: number | undefined
  /** Who has given it, as a number of one's own choice (IFA_PROTO); kernels before 5.18 do not keep it. */
  readonly protocol?: number | undefined
  /** For ever unless said. */
  readonly validSeconds?: number | undefined
  /** New connections may be made from it for so long; for ever unless said. */
  readonly preferredSeconds?: number | undefined
}

/** What names an address: the rest of an input may be left out. */
export interface InterfaceAddressKey {
  /** Name or index of the link. */
  readonly device: Device
  /** With the length of its prefix, as it was added: `192.0.2.1/24`. */
  readonly address: string
  /** The other end, where it was added with one. */
  readonly peer?: string | undefined
}

const forever = 0xffff_ffff

/** Addresses of links. */
export class Addresses {
  readonly #requests: Requests

  /** @internal */
  constructor(requests: Requests) {
    this.#requests = requests
  }

  /**
   * The addresses of one link, or of all; of one family, or of both. The kernel picks them (the link from 4.20), and what
   * it sent is looked at here again. Throws ENODEV if there is no such link.
   */
  async list(
    filter: { readonly device?: Device | undefined; readonly family?: AddressFamily | undefined } = {},
    options?: CallOptions,
  ): Promise<InterfaceAddress[]> {
    const operation = 'rtnetlink.listAddresses'
    const device =
      filter.device === undefined
        ? undefined
        : await this.#requests.index(filter.device, 'device', operation, options)
    const all = await this.#requests.dump(
      {
        operation,
        object: filter,
        type: message.getAddress,
        header: addressHeader,
        head: { family: filter.family ?? 'unspecified', index: device },
        table,
        record: {},
        path: 'address',
      },
      ofType(message.newAddress, readAddress),
      options,
    )
    return all.filter(
      (entry) =>
        (device === undefined || entry.device === device) &&
        (filter.family === undefined || entry.family === filter.family),
    )
  }

  /** Throws EEXIST if the link has it already. */
  async add(input: InterfaceAddressInput, options?: CallOptions): Promise<void> {
    await this.#send(input, message.newAddress, createOnly, 'rtnetlink.addAddress', options)
  }

  /** Adds it, or changes its flags and lifetime if the link has it already. */
  async replace(input: InterfaceAddressInput, options?: CallOptions): Promise<void> {
    await this.#send(input, message.newAddress, createOrReplace, 'rtnetlink.replaceAddress', options)
  }

  /** Throws EADDRNOTAVAIL if the link has no such address. */
  async delete(key: InterfaceAddressKey, options?: CallOptions): Promise<void> {
    const { device, address, peer } = key
    await this.#send({ device, address, peer }, message.deleteAddress, 0, 'rtnetlink.deleteAddress', options)
  }

  async #send(
    input: InterfaceAddressInput,
    type: number,
    flags: number,
    operation: string,
    options: CallOptions | undefined,
  ): Promise<void> {
    const own = prefixOf('address.address', input.address)
    const peer = input.peer === undefined ? undefined : prefixOf('address.peer', input.peer, own.family)
    if (input.broadcast !== undefined) checkFamily('address.broadcast', input.broadcast, own.family)
    const { preferredSeconds, validSeconds } = input
    const lifetime =
      preferredSeconds === undefined && validSeconds === undefined
        ? undefined
        : { preferredSeconds: preferredSeconds ?? validSeconds, validSeconds: validSeconds ?? forever }
    await this.#requests.execute(
      {
        operation,
        object: input,
        type,
        flags,
        header: addressHeader,
        head: {
          family: own.family,
          prefixLength: (peer ?? own).length,
          scope: input.scope ?? (own.address.startsWith('127.') ? 'host' : 'universe'),
          index: await this.#requests.index(input.device, 'address.device', operation, options),
        },
        table,
        record: {
          local: own.address,
          address: (peer ?? own).address,
          broadcast: input.broadcast,
          label: input.label,
          flags: input.flags,
          metric: input.metric,
          protocol: input.protocol,
          lifetime,
        },
        path: 'address',
        callersPath: (path) => callersPath(path, input),
      },
      options,
    )
  }
}

/** The input's words for IFA_LOCAL, IFA_ADDRESS and IFA_CACHEINFO. */
function callersPath(path: string, { peer, preferredSeconds }: InterfaceAddressInput): string {
  if (path === 'address.local') return 'address.address'
  if (path === 'address.address') return peer === undefined ? path : 'address.peer'
  if (!path.startsWith('address.lifetime')) return path
  // Where it is not given, both are `validSeconds`.
  const isPreferred = preferredSeconds !== undefined && path.endsWith('.preferredSeconds')
  return isPreferred ? 'address.preferredSeconds' : 'address.validSeconds'
}

export function prefixOf(
  path: string,
  text: string,
  family?: AddressFamily,
): { family: AddressFamily; address: string; length: number } {
  const prefix = typeof text === 'string' ? parsePrefix(text) : undefined
  if (prefix === undefined || (family !== undefined && prefix.family !== family)) {
    throw new ValidationError(path, text, `${addressOf[family ?? 'any']} with the length of its prefix`)
  }
  return prefix
}

/** Of 16 bytes where 4 are right the kernel would take the first 4, in silence. */
export function checkFamily(path: string, address: string, family: AddressFamily): void {
  const bytes = typeof address === 'string' ? parseAddress(address) : undefined
  if (bytes?.length !== (family === 'ipv4' ? 4 : 16))
    throw new ValidationError(path, address, addressOf[family])
}

const addressOf = { any: 'an address', ipv4: 'an IPv4 address', ipv6: 'an IPv6 address' } as const

/** What stands behind the header of an RTM_NEWADDR or RTM_DELADDR. */
export const readAddress = (
  bytes: Uint8Array,
  view: DataView,
  offset: number,
  end: number,
): InterfaceAddress | undefined => {
  const header = addressHeader.read(bytes, view, offset, end - offset, {})
  // rtnl_dump_all also asks families that are none of ours.
  if (header.family !== 'ipv4' && header.family !== 'ipv6') return undefined
  const {
    address: prefix,
    local,
    flags,
    ...rest
  } = table.decode(bytes, view, offset + addressHeader.bytes, end) as Wire
  const own = local ?? prefix
  if (own === undefined) return undefined
  const hasPeer = local !== undefined && prefix !== undefined && prefix !== local
  const full = header.family === 'ipv4' ? 32 : 128
  return {
    device: header.index,
    family: header.family,
    address: `${own}/${hasPeer ? full : header.prefixLength}`,
    ...(hasPeer ? { peer: `${prefix}/${header.prefixLength}` } : {}),
    scope: header.scope,
    flags: flags ?? [],
    ...rest,
  }
}
