import type { Netns } from '../net/index.js'
import { type CallOptions, type Decoded, type Encodable, isObject, type ReadReply } from '../netlink/index.js'
import { MalformedMessageError, ValidationError } from '../errors/index.js'
import { type linkFlags, linkHeader, type linkType } from './headers.js'
import { kinds, type LinkKind, type peer } from './kinds.js'
import { type HeldNamespaces, holdingNamespaces } from './namespaces.js'
import { checkedIndex, createOnly, type Device, type Requests, unlessAbsent } from './requests.js'
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

/** A link to make: its kind, its name, and what its kind has of its own. */
export type LinkInput = LinkSettings & {
  readonly name: string
  /** The link that it stands on. */
  readonly link?: Device | undefined
  /** The index to give it; the next free one if left out. */
  readonly index?: number | undefined
} & {
    [K in LinkKind]: { readonly kind: K } & (K extends 'veth'
      ? { readonly data: { readonly peer: PeerInput } }
      : { readonly data?: LinkDataInput<K> | undefined })
  }[LinkKind]

/** What to change of a link. What is left out stays. */
export interface LinkChanges extends LinkSettings, GivenLater {
  /** The new name. Older kernels (before 6.2) rename a link only while it is down. */
  readonly name?: string | undefined
  /** Words about it; null or an empty string takes them away. */
  readonly alias?: string | null | undefined
}

/** Links of one network namespace: network interfaces, as one also calls them. */
export class Links {
  readonly #requests: Requests

  /** @internal */
  constructor(requests: Requests) {
    this.#requests = requests
  }

  /** All of them, in the order of their indexes. */
  async list(options?: CallOptions): Promise<Link[]> {
    return this.#requests.dump(
      { ...get, operation: 'rtnetlink.listLinks', object: undefined, record: {}, head: {} },
      readLink,
      options,
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
      readLink,
      options,
    )
    const [link] = found
    if (link === undefined) throw new MalformedMessageError('acknowledged without a link', 0)
    return link
  }

  /** Makes a link. Throws EEXIST if the name is taken, EOPNOTSUPP if the kernel has no links of this kind. */
  async add(input: LinkInput, options?: CallOptions): Promise<void> {
    const { kind, name } = input
    if (!Object.hasOwn(kinds, kind)) {
      throw new ValidationError('link.kind', kind, `one of ${Object.keys(kinds).join(', ')}`)
    }
    for (const [key, value] of Object.entries(input)) {
      if (value !== undefined && (later as readonly string[]).includes(key)) {
        throw new ValidationError(`link.${key}`, value, 'to be set once the link is there')
      }
    }
    const operation = 'rtnetlink.addLink'
    await holdingNamespaces(async (namespaces) => {
      const { head, record } = await this.#changes(input, operation, namespaces, options)
      const link =
        input.link === undefined
          ? undefined
          : await this.#requests.index(input.link, 'link.link', operation, options)
      await this.#requests.execute(
        {
          operation,
          object: { kind, name },
          type: message.newLink,
          flags: createOnly,
          header: linkHeader,
          head: { ...head, index: input.index },
          table,
          record: { ...record, link, info: { kind, data: dataOf(input, namespaces) } },
          path: 'link',
          callersPath,
          hint: ({ errno }) =>
            errno === -95
              ? `The kernel has no links of kind ${kind}, or cannot load their module`
              : undefined,
        },
        options,
      )
    })
  }

  /** Changes a link: up or down, MTU, master, namespace, name, address. */
  async set(device: Device, changes: LinkChanges, options?: CallOptions): Promise<void> {
    const operation = 'rtnetlink.setLink'
    // By its index in any case: with a name that is absent and a group, the kernel would change the whole group.
    const index = await this.#requests.index(device, 'device', operation, options)
    await holdingNamespaces(async (namespaces) => {
      const { alias, ...more } = changes
      const { head, record } = await this.#changes(more, operation, namespaces, options)
      await this.#requests.execute(
        {
          operation,
          object: { device, ...changes },
          type: message.newLink,
          header: linkHeader,
          head: { ...head, index },
          table,
          record: { ...record, alias: alias === null ? '' : alias },
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
    changes: LinkChanges,
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

const readLink: ReadReply<Link> = (bytes, view, offset, end, type) => {
  if (type !== message.newLink) return undefined
  const { index, flags, type: hardware } = linkHeader.read(bytes, view, offset, end - offset, {})
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
