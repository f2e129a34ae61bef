/** Events of rtnetlink: what was made, changed and taken away by anybody, the kernel too. */
import { ValidationError } from '../errors/index.js'
import { eventsOf, type Transport } from '../netlink/index.js'
import { type InterfaceAddress, readAddress } from './addresses.js'
import { type Link, readLink } from './links.js'
import { type Neighbour, readNeighbour } from './neighbours.js'
import { readRoute, type Route } from './routes.js'
import { readRule, type Rule } from './rules.js'
import { group, message } from './wire.js'

/** What can be told of: by its kind, as its list tells it. */
export interface RtnetlinkObjects {
  /** A link; of a change of its flags or counters alone not every one is told. */
  readonly link: Link
  /** An address of a link. */
  readonly address: InterfaceAddress
  /** A route, of any table. IPv4 routes that go with their link or address are not told. */
  readonly route: Route
  /** A routing rule. */
  readonly rule: Rule
  /** A neighbour; each change of its state is told, too. */
  readonly neighbour: Neighbour
}
/** Which kinds of things can be told of. */
export type RtnetlinkObjectKind = keyof RtnetlinkObjects

/** What events tell. */
export type RtnetlinkEvent =
  /** `made`: it is so now, be it new or changed. `gone`: it was so, and is no more. */
  | {
      [K in RtnetlinkObjectKind]: {
        readonly event: 'made' | 'gone'
        readonly kind: K
        readonly object: RtnetlinkObjects[K]
      }
    }[RtnetlinkObjectKind]
  /** Events were lost: list anew what is followed. */
  | { readonly event: 'resynchronise' }

/** Which events, and until when. */
export interface EventOptions {
  /** `['link', 'address']`; all kinds unless said. */
  readonly what?: readonly RtnetlinkObjectKind[] | undefined
  /** Ends them: the loop throws its reason. */
  readonly signal?: AbortSignal | undefined
}

type Read<T> = (bytes: Uint8Array, view: DataView, offset: number, end: number) => T | undefined

const sources: {
  readonly [K in RtnetlinkObjectKind]: {
    readonly groups: readonly number[]
    readonly made: number
    readonly gone: number
    readonly read: Read<RtnetlinkObjects[K]>
  }
} = {
  link: { groups: [group.link], made: message.newLink, gone: message.deleteLink, read: readLink },
  address: {
    groups: [group.ipv4Address, group.ipv6Address],
    made: message.newAddress,
    gone: message.deleteAddress,
    read: readAddress,
  },
  route: {
    groups: [group.ipv4Route, group.ipv6Route],
    made: message.newRoute,
    gone: message.deleteRoute,
    read: readRoute,
  },
  rule: {
    groups: [group.ipv4Rule, group.ipv6Rule],
    made: message.newRule,
    gone: message.deleteRule,
    read: readRule,
  },
  neighbour: {
    groups: [group.neighbour],
    made: message.newNeighbour,
    gone: message.deleteNeighbour,
    read: readNeighbour,
  },
}

export function events(
  transport: Transport,
  { what = Object.keys(sources) as RtnetlinkObjectKind[], signal }: EventOptions,
): AsyncIterableIterator<RtnetlinkEvent> {
  const readers = new Map<number, Read<RtnetlinkEvent>>()
  for (const kind of what) {
    if (!Object.hasOwn(sources, kind)) {
      throw new ValidationError('what', kind, `some of ${Object.keys(sources).join(', ')}`)
    }
    const { made, gone, read } = sources[kind]
    for (const [type, event] of [
      [made, 'made'],
      [gone, 'gone'],
    ] as const) {
      readers.set(type, (...place) => {
        const object = read(...place)
        return object && ({ event, kind, object } as RtnetlinkEvent)
      })
    }
  }
  return eventsOf<RtnetlinkEvent>(
    transport,
    what.flatMap((kind) => sources[kind].groups),
    (bytes, view, type, offset, end) => readers.get(type)?.(bytes, view, offset, end),
    () => ({ event: 'resynchronise' }),
    signal,
  )
}
