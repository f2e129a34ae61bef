import { type AddressFamily, familyOf, isIPv4, isIPv6 } from '../address/index.js'
import { ValidationError } from '../errors/index.js'
import type { CallOptions, Decoded, Encodable } from '../netlink/index.js'
import { type neighbourFlags, neighbourHeader, type neighbourState } from './headers.js'
import { createOnly, createOrReplace, type Device, ofType, type Requests, unlessAbsent } from './requests.js'
import { message, neighbour as table } from './wire.js'

type Wire = Decoded<typeof table>
type Given = Encodable<typeof table>
type Told = 'address' | 'device' | 'master'
/** How far the kernel knows a neighbour. */
export type NeighbourState = keyof (typeof neighbourState)['names']
/** Flags of a neighbour. */
export type NeighbourFlag = keyof (typeof neighbourFlags)['names']

/** A neighbour as the kernel has it: an IP address on a link, and the hardware address that it is behind. */
export interface Neighbour extends Omit<Wire, Told> {
  /** Index of its link; 0 for an address that is answered for on every one. */
  readonly device: number
  /** Of `address`. */
  readonly family: AddressFamily
  /** `192.0.2.7`. */
  readonly address: string
  /** NUD_*: `reachable`, `stale`, `permanent`, … */
  readonly state: NeighbourState
  /** NTF_*: `router`, `externally-learned`, … */
  readonly flags: readonly NeighbourFlag[]
  /** Answered for: its address is somewhere else. */
  readonly proxy: boolean
}

/** What names a neighbour. */
export interface NeighbourKey {
  /** Name or index of the link. */
  readonly device: Device
  /** `192.0.2.7`, `2001:db8::7`. */
  readonly address: string
  /** An address to answer for, which has an entry of its own; false unless said. */
  readonly proxy?: boolean | undefined
}

/** A neighbour to make known. */
export interface NeighbourInput extends NeighbourKey, Omit<Given, Told> {
  /** `permanent` where `linkAddress` is given, `none` where it is not, unless said. */
  readonly state?: NeighbourState | undefined
  /** `use` looks for it at once, `router` is for IPv6. */
  readonly flags?: readonly NeighbourFlag[] | undefined
}

/** Which neighbours to list. */
export interface NeighbourFilter {
  /** Both unless said. */
  readonly family?: AddressFamily | undefined
  /** Only those on this link. */
  readonly device?: Device | undefined
  /** Only those on links that are ports of this bridge (or other master). */
  readonly master?: Device | undefined
  /** True: the addresses that are answered for, instead of the neighbours. */
  readonly proxy?: boolean | undefined
}

/** Neighbours of one network namespace: what ARP and neighbour discovery have found, and what was set by hand. */
export class Neighbours {
  readonly #requests: Requests

  /** @internal */
  constructor(requests: Requests) {
    this.#requests = requests
  }

  /** In all states, `no-arp` too. The kernel picks what the filter says; `family` and `device` are looked at here again. */
  async list(filter: NeighbourFilter = {}, options?: CallOptions): Promise<Neighbour[]> {
    const operation = 'rtnetlink.listNeighbours'
    const index = async (device: Device | undefined, path: string): Promise<number | undefined> =>
      device === undefined ? undefined : await this.#requests.index(device, path, operation, options)
    const device = await index(filter.device, 'device')
    const found = await unlessAbsent(
      this.#requests.dump(
        {
          operation,
          object: filter,
          type: message.getNeighbour,
          header: neighbourHeader,
          head: { family: filter.family ?? 'unspecified', flags: filter.proxy === true ? ['proxy'] : [] },
          table,
          record: { device, master: await index(filter.master, 'master') },
          path: 'neighbour',
        },
        ofType(message.newNeighbour, readNeighbour),
        options,
      ),
      'EAFNOSUPPORT',
    )
    return (found ?? []).filter(
      (entry) =>
        (device === undefined || entry.device === device) &&
        (filter.family === undefined || entry.family === filter.family),
    )
  }

  /** Throws EEXIST if the link has it already. An address to answer for may be added again. */
  async add(input: NeighbourInput, options?: CallOptions): Promise<void> {
    await this.#send(input, message.newNeighbour, createOnly, 'rtnetlink.addNeighbour', options)
  }

  /** Adds it, or changes its hardware address, state and flags if the link has it already. */
  async replace(input: NeighbourInput, options?: CallOptions): Promise<void> {
    await this.#send(input, message.newNeighbour, createOrReplace, 'rtnetlink.replaceNeighbour', options)
  }

  /** Throws ENOENT if the link has no such neighbour. */
  async delete(key: NeighbourKey, options?: CallOptions): Promise<void> {
    const { device, address, proxy } = key
    const only = { device, address, proxy, state: 'none' } as const
    await this.#send(only, message.deleteNeighbour, 0, 'rtnetlink.deleteNeighbour', options)
  }

  async #send(
    input: NeighbourInput,
    type: number,
    flags: number,
    operation: string,
    options: CallOptions | undefined,
  ): Promise<void> {
    const { device, address, proxy, state, flags: given = [], ...record } = input
    if (typeof address !== 'string' || (!isIPv4(address) && !isIPv6(address))) {
      throw new ValidationError('neighbour.address', address, 'an IPv4 or IPv6 address')
    }
    await this.#requests.execute(
      {
        operation,
        object: input,
        type,
        flags,
        header: neighbourHeader,
        head: {
          family: familyOf(address),
          index: await this.#requests.index(device, 'neighbour.device', operation, options),
          state: state ?? (record.linkAddress === undefined ? 'none' : 'permanent'),
          flags: proxy === true ? [...given, 'proxy'] : given,
        },
        table,
        record: { ...record, address },
        path: 'neighbour',
      },
      options,
    )
  }
}

/** What stands behind the header of an RTM_NEWNEIGH or RTM_DELNEIGH. */
export const readNeighbour = (
  bytes: Uint8Array,
  view: DataView,
  offset: number,
  end: number,
): Neighbour | undefined => {
  const header = neighbourHeader.read(bytes, view, offset, end - offset, {})
  // Bridges tell of their forwarding entries by the same messages.
  if (header.family !== 'ipv4' && header.family !== 'ipv6') return undefined
  const { address, ...rest } = table.decode(bytes, view, offset + neighbourHeader.bytes, end) as Wire
  if (address === undefined) return undefined
  return {
    ...rest,
    device: header.index,
    family: header.family,
    address,
    state: header.state,
    flags: header.flags,
    proxy: header.flags.includes('proxy'),
  }
}
