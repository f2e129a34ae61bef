import { type AddressFamily, familyOf, isIPv4, isIPv6 } from '../address/index.js'
import { ValidationError } from '../errors/index.js'
import type { CallOptions, Decoded, Encodable } from '../netlink/index.js'
import { checkFamily, prefixOf } from './addresses.js'
import {
  type routeFlags,
  routeHeader,
  type routeProtocol,
  type routeType,
  type scope as scopes,
} from './headers.js'
import { createOnly, createOrReplace, type Device, ofType, type Requests, unlessAbsent } from './requests.js'
import { message, type metrics, route as table, routeTable, type WireNextHop } from './wire.js'

type Wire = Decoded<typeof table>
type Told = 'destination' | 'from' | 'gateway' | 'via' | 'table' | 'nextHops' | 'padding'
/** What becomes of packets that take the route. */
export type RouteType = keyof (typeof routeType)['names']
/** Who made the route. */
export type RouteProtocol = keyof (typeof routeProtocol)['names']
/** Flags of a route and of its next hop. */
export type RouteFlag = keyof (typeof routeFlags)['names']

/** One of a route's next hops. */
export interface NextHop {
  /** Of either family. */
  readonly gateway?: string | undefined
  /** Index of its link. */
  readonly device: number
  /** Its share, 1 to 256. */
  readonly weight: number
  /** RTNH_F_*: `onlink`, `dead`, … */
  readonly flags: readonly string[]
}

/** A route as the kernel has it. */
export interface Route extends Omit<Wire, Told> {
  /** Of `destination`. */
  readonly family: AddressFamily
  /** `198.51.100.0/24`; the default routes are `0.0.0.0/0` and `::/0`. */
  readonly destination: string
  /** IPv6 alone: only for packets from here. */
  readonly from?: string | undefined
  /** May be IPv6 for an IPv4 route. */
  readonly gateway?: string | undefined
  /** Of a route with several; `gateway` and `device` are then left out. */
  readonly nextHops?: readonly NextHop[] | undefined
  /** 254 is the main table, 255 the local one. */
  readonly table: number
  /** What becomes of the packets: `unicast` carries them on. */
  readonly type: RouteType
  /** Who made it: `kernel`, `static`, a routing daemon. */
  readonly protocol: RouteProtocol
  /** How far the destination is: `link` without a gateway, `host` for what is local. */
  readonly scope: keyof (typeof scopes)['names']
  /** RTM_F_* and RTNH_F_*: `onlink`, `dead`, … */
  readonly flags: readonly RouteFlag[]
  /** Only for packets of this type of service; 0 takes all. */
  readonly tos: number
}

/** A next hop of a route to make. */
export interface NextHopInput {
  /** An address of either family. */
  readonly gateway?: string | undefined
  /** Name or index of the link; found by the gateway if left out. */
  readonly device?: Device | undefined
  /** 1 unless said. */
  readonly weight?: number | undefined
  /** The gateway is reachable on the link, whatever the addresses say. */
  readonly onlink?: boolean | undefined
}

/** What TCP and others are told for a route (RTAX_*). */
export interface RouteMetrics extends Encodable<typeof metrics> {}

/** A route to make, or (with `delete`) what must be equal in the one to delete. */
export interface RouteInput {
  /** `198.51.100.0/24`; the default routes are `0.0.0.0/0` and `::/0`. */
  readonly destination: string
  /** IPv6 alone: only for packets from here. */
  readonly from?: string | undefined
  /** An address of either family. */
  readonly gateway?: string | undefined
  /** Name or index of the link; found by the gateway if left out. */
  readonly device?: Device | undefined
  /** Several next hops, instead of `gateway` and `device`. */
  readonly nextHops?: readonly NextHopInput[] | undefined
  /** The main table, 254, unless said. */
  readonly table?: number | undefined
  /** Address that packets are sent from, unless their socket has one. */
  readonly source?: string | undefined
  /** The lower the better. */
  readonly metric?: number | undefined
  /** `unicast` unless said. */
  readonly type?: RouteType | undefined
  /** Who made it; `static` unless said. */
  readonly protocol?: RouteProtocol | undefined
  /** `link` for IPv4 without a gateway, `host` for local routes, else `universe`, unless said. */
  readonly scope?: keyof (typeof scopes)['names'] | undefined
  /** The gateway is reachable on the link, whatever the addresses say. */
  readonly onlink?: boolean | undefined
  /** Bytes; of packets that take this route. The same as in `metrics`. */
  readonly mtu?: number | undefined
  /** What else TCP and others are told for this route (RTAX_*). */
  readonly metrics?: RouteMetrics | undefined
  /** Of several IPv6 routers with the same metric this one is taken first or last. */
  readonly preference?: 'medium' | 'high' | 'low' | undefined
  /** For `tc` and for accounting: 1 to 255 of the destination, and that of the source times 65536 (IPv4). */
  readonly realm?: number | undefined
  /** Number of a next hop object, instead of `gateway`, `device` and `nextHops` (from 5.3). */
  readonly nextHopId?: number | undefined
  /** Only for packets of this type of service; 0, and left out, takes all. */
  readonly tos?: number | undefined
}

/** Which routes to list. */
export interface RouteFilter {
  /** Both unless said. */
  readonly family?: AddressFamily | undefined
  /** The main table, 254, unless said. */
  readonly table?: number | 'all' | undefined
  /** Only routes over this link. */
  readonly device?: Device | undefined
  /** Only those that this one has made. */
  readonly protocol?: RouteProtocol | undefined
  /** Only routes of this type. */
  readonly type?: RouteType | undefined
}

/** Routes of one network namespace. */
export class Routes {
  readonly #requests: Requests

  /** @internal */
  constructor(requests: Requests) {
    this.#requests = requests
  }

  /**
   * IPv4's first. A table that does not exist has no routes. The kernel picks them (from 4.20), and what it sent is looked
   * at here again. Throws ENODEV if there is no such link.
   */
  async list(filter: RouteFilter = {}, options?: CallOptions): Promise<Route[]> {
    const operation = 'rtnetlink.listRoutes'
    const wanted = filter.table ?? routeTable.main
    const device =
      filter.device === undefined
        ? undefined
        : await this.#requests.index(filter.device, 'device', operation, options)
    const families = filter.family === undefined ? (['ipv4', 'ipv6'] as const) : [filter.family]
    const found: Route[] = []
    for (const family of families) {
      const all = await unlessAbsent(
        this.#requests.dump(
          {
            operation,
            object: filter,
            type: message.getRoute,
            header: routeHeader,
            head: { family, protocol: filter.protocol, type: filter.type },
            table,
            record: { table: wanted === 'all' ? undefined : wanted, device },
            path: 'route',
          },
          ofType(message.newRoute, readRoute),
          options,
        ),
        'ENOENT',
      )
      for (const route of all ?? []) {
        // Kernels before 4.20 filter nothing, and one without IPv6 answers with the routes of IPv4.
        if (route.family !== family || (wanted !== 'all' && route.table !== wanted)) continue
        if (filter.protocol !== undefined && route.protocol !== filter.protocol) continue
        if (filter.type !== undefined && route.type !== filter.type) continue
        if (device === undefined || goesOver(route, device)) found.push(route)
      }
    }
    return found
  }

  /** Throws EEXIST if there is one to the same destination with the same metric. */
  async add(input: RouteInput, options?: CallOptions): Promise<void> {
    await this.#send(input, message.newRoute, createOnly, 'rtnetlink.addRoute', options)
  }

  /** Adds it, or puts it in the place of one to the same destination with the same metric. */
  async replace(input: RouteInput, options?: CallOptions): Promise<void> {
    await this.#send(input, message.newRoute, createOrReplace, 'rtnetlink.replaceRoute', options)
  }

  /** Deletes the first route that is like the input in all that it says. Throws ESRCH if there is none. */
  async delete(input: RouteInput, options?: CallOptions): Promise<void> {
    await this.#send(input, message.deleteRoute, 0, 'rtnetlink.deleteRoute', options)
  }

  async #send(
    input: RouteInput,
    type: number,
    flags: number,
    operation: string,
    options: CallOptions | undefined,
  ): Promise<void> {
    const deleting = type === message.deleteRoute
    const to = prefixOf('route.destination', input.destination)
    const from = input.from === undefined ? undefined : prefixOf('route.from', input.from, to.family)
    if (input.source !== undefined) checkFamily('route.source', input.source, to.family)
    const number = input.table ?? routeTable.main
    const index = async (device: Device | undefined, path: string): Promise<number | undefined> =>
      device === undefined ? undefined : await this.#requests.index(device, path, operation, options)
    const hops = await Promise.all(
      (input.nextHops ?? []).map(async (hop, position) => ({
        ...gatewayOf(hop.gateway, to.family, `route.nextHops[${position}].gateway`),
        device: await index(hop.device, `route.nextHops[${position}].device`),
        weight: hop.weight,
        flags: hop.onlink === true ? ['onlink'] : [],
      })),
    )
    await this.#requests.execute(
      {
        operation,
        object: input,
        type,
        flags,
        header: routeHeader,
        head: {
          family: to.family,
          destinationLength: to.length,
          fromLength: from?.length,
          tos: input.tos,
          table: number < 256 ? number : 0,
          protocol: input.protocol ?? (deleting ? 'unspecified' : 'static'),
          scope: input.scope ?? (deleting ? 'nowhere' : usualScope(input, to.family)),
          type: input.type ?? (deleting ? 'unspecified' : 'unicast'),
          flags: input.onlink === true ? ['onlink'] : [],
        },
        table,
        record: {
          destination: to.length === 0 ? undefined : to.address,
          from: from?.address,
          ...gatewayOf(input.gateway, to.family, 'route.gateway'),
          device: await index(input.device, 'route.device'),
          nextHops: input.nextHops === undefined ? undefined : hops,
          table: number,
          source: input.source,
          metric: input.metric,
          metrics: metricsOf(input),
          preference: input.preference,
          realm: input.realm,
          nextHopId: input.nextHopId,
        },
        path: 'route',
        callersPath: (path) => callersPath(path, input),
      },
      options,
    )
  }
}

function metricsOf({ mtu, metrics }: RouteInput): RouteMetrics | undefined {
  return mtu === undefined ? metrics : { ...metrics, mtu }
}

/** The input's words for RTA_VIA and, where it stands alone, RTAX_MTU. */
function callersPath(path: string, { mtu, metrics }: RouteInput): string {
  const isMtu = path === 'route.metrics.mtu' || (path === 'route.metrics' && metrics === undefined)
  if (isMtu && mtu !== undefined) return 'route.mtu'
  return path.replace('route.via', 'route.gateway')
}

/** A gateway of the other family has an attribute of its own. */
function gatewayOf(
  gateway: string | undefined,
  family: AddressFamily,
  path: string,
): { gateway?: string; via?: string } {
  if (gateway === undefined) return {}
  if (!isIPv4(gateway) && !isIPv6(gateway))
    throw new ValidationError(path, gateway, 'an IPv4 or IPv6 address')
  return familyOf(gateway) === family ? { gateway } : { via: gateway }
}

/** As `ip route` has it: IPv6 does not look at it. */
function usualScope(input: RouteInput, family: AddressFamily): RouteInput['scope'] {
  if (family === 'ipv6') return 'universe'
  if (input.type === 'local') return 'host'
  const onLink = input.type === undefined || input.type === 'unicast'
  if (input.type === 'broadcast' || input.type === 'multicast' || input.type === 'anycast') return 'link'
  const isDirect =
    input.gateway === undefined && input.nextHops === undefined && input.nextHopId === undefined
  return onLink && isDirect ? 'link' : 'universe'
}

function goesOver(route: Route, device: number): boolean {
  return route.device === device || (route.nextHops?.some((hop) => hop.device === device) ?? false)
}

/** What stands behind the header of an RTM_NEWROUTE or RTM_DELROUTE. */
export const readRoute = (
  bytes: Uint8Array,
  view: DataView,
  offset: number,
  end: number,
): Route | undefined => {
  const header = routeHeader.read(bytes, view, offset, end - offset, {})
  if (header.family !== 'ipv4' && header.family !== 'ipv6') return undefined
  const {
    destination,
    from,
    gateway,
    via,
    table: number,
    nextHops,
    ...rest
  } = table.decode(bytes, view, offset + routeHeader.bytes, end) as Wire
  const any = header.family === 'ipv4' ? '0.0.0.0' : '::'
  return {
    family: header.family,
    destination: `${destination ?? any}/${header.destinationLength}`,
    ...(from === undefined ? {} : { from: `${from}/${header.fromLength}` }),
    ...((gateway ?? via) === undefined ? {} : { gateway: gateway ?? via }),
    ...(nextHops === undefined ? {} : { nextHops: nextHops.map(hopOf) }),
    table: number ?? header.table,
    type: header.type,
    protocol: header.protocol,
    scope: header.scope,
    flags: header.flags,
    tos: header.tos,
    ...rest,
  }
}

function hopOf({ gateway, via, device, weight, flags }: WireNextHop): NextHop {
  return { ...((gateway ?? via) === undefined ? {} : { gateway: gateway ?? via }), device, weight, flags }
}
