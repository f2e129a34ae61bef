import type { Netns } from '../net/index.js'
import { type CallOptions, type Decoded, type Encodable, isObject } from '../netlink/index.js'
import { isKernelError, MalformedMessageError, UnsupportedError, ValidationError } from '../errors/index.js'
import { type linkFlags, linkHeader, type linkType } from './headers.js'
import { kinds, type LinkKind, modules, type peer } from './kinds.js'
import { type HeldNamespaces, holdingNamespaces } from './namespaces.js'
import { checkedIndex, createOnly, type Device, ofType, type Requests, unlessAbsent } from './requests.js'
import { link as table, type LinkData, type LinkDataInput, message } from './wire.js'

type Wire = Decoded<typeof table>
/** Not said by the kernel, or told in another shape by Link. */
type Told = 'name' | 'info' | 'netnsPid' | 'netnsFd' | 'extendedMask' | 'padding'

/** What every link has. */
export interface LinkState extends Omit<Wire, Told> {
  /** The kernel's number for it in its namespace, from 1. */
  readonly index: number
  /** At most 15 bytes: `eth0`. */
  readonly name: string
  /** The hardware's type (ARPHRD_*). */
  readonly type: keyof (typeof linkType)['names']
  /** IFF_*: `up`, `broadcast`, `loopback`, … */
  readonly flags: readonly (keyof (typeof linkFlags)['names'])[]
  /** Set up by its administrator; whether it carries is for `lower-up` in the flags and `operationalState` to say. */
  readonly up: boolean
  /** What it is to its master: `bridge` for a port of one. */
  readonly portKind?: string | undefined
}

/**
 * A link as the kernel has it: `kind` and `data` for those that software makes. A kind that this version does not
 * know is told all the same, with everything in `data.unknown`.
 */
export type Link = LinkState &
  (
    | { [K in LinkKind]: { readonly kind: K; readonly data?: LinkData<K> | undefined } }[LinkKind]
    | { readonly kind?: undefined; readonly data?: undefined }
  )

/** What the kernel sets on an existing link alone (do_setlink), and ignores when it makes one (rtnl_create_link). */
const later = ['alias', 'carrier', 'families', 'linkNamespace', 'protocolDown'] as const
type Given = Omit<Encodable<typeof table>, Told | 'master' | 'link' | (typeof later)[number]>
type GivenLater = Pick<Encodable<typeof table>, Exclude<(typeof later)[number], 'alias' | 'linkNamespace'>>

/** What may be said when a link is made, and when it is changed. */
export interface LinkSettings extends Given {
  /** Namespace to put it in. */
  readonly netns?: Netns | undefined
  /** As `ip link set up` and `down`; a new link is down unless said. */
  readonly up?: boolean | undefined
  /** The bridge to be a port of; null takes it out. */
  readonly master?: Device | null | undefined
}

/** The other end of a veth pair. */
export interface PeerInput extends Omit<Encodable<typeof peer>, Told> {
  /** At most 15 bytes: `eth0`. */
  readonly name: string
  /** Namespace to put it in; where the first end is if left out. */
  readonly netns?: Netns | undefined
}

/** What a link of a kind is made of: of some there is no link without it. */
export type LinkOwn<K extends LinkKind> = K extends 'veth'
  ? { readonly data: { readonly peer: PeerInput } }
  : K extends 'vlan'
    ? { readonly link: Device; readonly data: LinkDataInput<K> & { readonly id: number } }
    : K extends 'macvlan' | 'ipvlan'
      ? { readonly link: Device; readonly data?: LinkDataInput<K> | undefined }
      : { readonly data?: LinkDataInput<K> | undefined }

/** A link to make: its kind, its name, and what its kind has of its own. */
export type LinkInput = LinkSettings & {
  readonly name: string
  /** The link that it stands on. */
  readonly link?: Device | undefined
  /** The index to give it; the next free one if left out. */
  readonly index?: number | undefined
} & { [K in LinkKind]: { readonly kind: K } & LinkOwn<K> }[LinkKind]

/** What to change of a link of any kind. What is left out stays. */
export interface CommonLinkChanges extends LinkSettings, GivenLater {
  /** The new name. Older kernels (before 6.2) rename a link only while it is down. */
  readonly name?: string | undefined
  /** Words about it; null or an empty string takes them away. */
  readonly alias?: string | null | undefined
}

/** What to change of a link; of what its kind has of its own with the kind beside it. What is left out stays. */
export type LinkChanges = CommonLinkChanges &
  (
    | { readonly kind?: undefined; readonly data?: undefined }
    | {
        [K in Exclude<LinkKind, 'veth'>]: { readonly kind: K; readonly data: LinkDataInput<K> }
      }[Exclude<LinkKind, 'veth'>]
  )

/** Which links to list. */
export interface LinkFilter {
  /** Only links of this kind. */
  readonly kind?: LinkKind | undefined
  /** Only ports of this bridge (or other master); null: only links that are no ports. */
  readonly master?: Device | null | undefined
}

/** Links of one network namespace: network interfaces, as one also calls them. */
export class Links {
  readonly #requests: Requests

  /** @internal */
  constructor(requests: Requests) {
    this.#requests = requests
  }

  /**
   * All of them, or some, in the order of their indexes. The kernel picks them (from 4.20); it takes no other filter
   * than these, and `master: null` is looked at here.
   */
  async list(filter: LinkFilter = {}, options?: CallOptions): Promise<Link[]> {
    const { kind } = filter
    const operation = 'rtnetlink.listLinks'
    if (kind !== undefined) checkKind('kind', kind)
    const master =
      filter.master === undefined || filter.master === null
        ? filter.master
        : await this.#requests.index(filter.master, 'master', operation, options)
    const found = await this.#requests.dump(
      {
        ...get,
        operation,
        object: filter,
        head: {},
        record: { master: master ?? undefined, info: kind === undefined ? undefined : { kind } },
      },
      listedLink,
      options,
    )
    // A kernel that does not know the kind (its module is not loaded) filters nothing.
    return found.filter(
      (link) =>
        (kind === undefined || link.kind === kind) &&
        (master === undefined || (link.master ?? null) === master),
    )
  }

  /** One link, or undefined if it is not there. */
  async find(device: Device, options?: CallOptions): Promise<Link | undefined> {
    return unlessAbsent(this.get(device, options), 'ENODEV')
  }

  /** One link. Throws ENODEV if it is not there. */
  async get(device: Device, options?: CallOptions): Promise<Link> {
    const named = typeof device === 'string'
    const found = await this.#requests.query(
      {
        ...get,
        operation: 'rtnetlink.getLink',
        object: { device },
        head: named ? {} : { index: checkedIndex(device, 'device') },
        record: named ? { name: device } : {},
        callersPath: () => 'device',
      },
      listedLink,
      options,
    )
    const [link] = found
    if (link === undefined) throw new MalformedMessageError('acknowledged without a link', 0)
    return link
  }

  /** Makes a link. Throws EEXIST if the name is taken, UnsupportedError if the kernel has no links of this kind. */
  async add(input: LinkInput, options?: CallOptions): Promise<void> {
    const { kind, index, link: below, data: _, ...settings } = input
    checkKind('link.kind', kind)
    for (const [key, value] of Object.entries(settings)) {
      if (value !== undefined && (later as readonly string[]).includes(key)) {
        throw new ValidationError(`link.${key}`, value, 'to be set once the link is there')
      }
    }
    const operation = 'rtnetlink.addLink'
    await holdingNamespaces(async (namespaces) => {
      const { head, record } = await this.#changes(settings, operation, namespaces, options)
      const link =
        below === undefined ? undefined : await this.#requests.index(below, 'link.link', operation, options)
      await this.#requests
        .execute(
          {
            operation,
            object: { kind, name: input.name },
            type: message.newLink,
            flags: createOnly,
            header: linkHeader,
            head: { ...head, index },
            table,
            record: { ...record, link, info: { kind, data: dataOf(input, namespaces) } },
            path: 'link',
            callersPath,
          },
          options,
        )
        .catch((error: unknown) => {
          throw isUnknownKind(error)
            ? new UnsupportedError(`link kind ${kind}`, `the kernel module ${modules[kind]}`, {
                cause: error,
              })
            : error
        })
    })
  }

  /**
   * Changes a link: up or down, MTU, master, namespace, name, address, and what its kind has of its own. Throws
   * EOPNOTSUPP if it is of another kind than `kind`, or if the kernel does not change that of an existing link.
   */
  async set(device: Device, changes: LinkChanges, options?: CallOptions): Promise<void> {
    const operation = 'rtnetlink.setLink'
    const { alias, kind, data, ...settings } = changes
    if (kind !== undefined) checkKind('link.kind', kind)
    // Without its kind the kernel would not look at it.
    else if (data !== undefined) throw new ValidationError('link.kind', kind, 'the kind that `data` is of')
    // By its index in any case: with a name that is absent and a group, the kernel would change the whole group.
    const index = await this.#requests.index(device, 'device', operation, options)
    await holdingNamespaces(async (namespaces) => {
      const { head, record } = await this.#changes(settings, operation, namespaces, options)
      await this.#requests.execute(
        {
          operation,
          object: { device, ...changes },
          type: message.newLink,
          header: linkHeader,
          head: { ...head, index },
          table,
          record: {
            ...record,
            alias: alias === null ? '' : alias,
            info: kind === undefined ? undefined : { kind, data },
          },
          path: 'link',
          callersPath,
        },
        options,
      )
    })
  }

  /** Deletes a link; of a veth pair both ends. Throws ENODEV if it is not there. */
  async delete(device: Device, options?: CallOptions): Promise<void> {
    const named = typeof device === 'string'
    await this.#requests.execute(
      {
        operation: 'rtnetlink.deleteLink',
        object: { device },
        type: message.deleteLink,
        header: linkHeader,
        head: named ? {} : { index: checkedIndex(device, 'device') },
        table,
        record: named ? { name: device } : {},
        path: 'link',
        callersPath: () => 'device',
      },
      options,
    )
  }

  /** The part of a message that `add` and `set` have in common. */
  async #changes(
    changes: Omit<CommonLinkChanges, 'alias'>,
    operation: string,
    namespaces: HeldNamespaces,
    options: CallOptions | undefined,
  ) {
    const { up, master, netns, ...given } = changes
    const isUp = ['up'] as const
    return {
      head: up === undefined ? {} : { flags: up ? isUp : [], change: isUp },
      record: {
        ...given,
        master:
          master === undefined
            ? undefined
            : master === null
              ? 0
              : await this.#requests.index(master, 'link.master', operation, options),
        netnsFd: netns === undefined ? undefined : namespaces.hold(netns),
      },
    }
  }
}

const get = { type: message.getLink, header: linkHeader, table, path: 'link' } as const

const callersPath = (path: string): string =>
  path.replace('link.info.', 'link.').replace(/\bnetnsFd$/, 'netns')

function dataOf(input: LinkInput, namespaces: HeldNamespaces): object | undefined {
  if (input.kind !== 'veth') return input.data
  // Callers of JavaScript leave out what they like.
  const given = (input.data as { readonly peer?: PeerInput } | undefined)?.peer
  if (!isObject(given)) throw new ValidationError('link.data.peer', given, 'the other end: an object')
  const { netns, ...peer } = given
  return { peer: { ...peer, netnsFd: netns === undefined ? undefined : namespaces.hold(netns) } }
}

function checkKind(path: string, kind: LinkKind): void {
  if (Object.hasOwn(kinds, kind)) return
  throw new ValidationError(path, kind, `one of ${Object.keys(kinds).join(', ')}`)
}

/** Kinds refuse what they cannot with the same number, and other words (__rtnl_newlink). */
function isUnknownKind(error: unknown): boolean {
  return isKernelError(error, 'EOPNOTSUPP') && error.kernelMessage === 'Unknown device type'
}

/** What stands behind the header of an RTM_NEWLINK or RTM_DELLINK. */
export const readLink = (
  bytes: Uint8Array,
  view: DataView,
  offset: number,
  end: number,
): Link | undefined => {
  const { index, family, flags, type: hardware } = linkHeader.read(bytes, view, offset, end - offset, {})
  // A bridge tells of its ports by the same messages: one that is deleted there is no port any more, and still a link.
  if (family !== 'unspecified') return undefined
  const { info, ...attributes } = table.decode(bytes, view, offset + linkHeader.bytes, end) as Wire
  return {
    index,
    type: hardware,
    flags,
    up: flags.includes('up'),
    ...attributes,
    kind: info?.kind,
    data: info?.data,
    portKind: info?.portKind,
  } as Link
}

const listedLink = ofType(message.newLink, readLink)
