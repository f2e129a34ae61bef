import type { Netns } from '../net/index.js'
import {
  type CallOptions,
  Connection,
  NETLINK_GENERIC,
  NETLINK_ROUTE,
  openSocket,
  type Transport,
} from '../netlink/index.js'
import { Addresses } from './addresses.js'
import { type EventOptions, events, type RtnetlinkEvent } from './events.js'
import { FouPorts } from './fou.js'
import { LateSocket } from './late-socket.js'
import { Links } from './links.js'
import { Neighbours } from './neighbours.js'
import { Requests } from './requests.js'
import { Routes } from './routes.js'
import { Rules } from './rules.js'

/** Where and how a client speaks to the kernel. */
export interface RtnetlinkOptions {
  /** The network namespace; the current one if left out. */
  readonly netns?: Netns | undefined
  /** Something else than the addon's socket. It is closed with the client. */
  readonly transport?: Transport | undefined
  /** The same for generic netlink, which `fou` speaks: else a socket that is opened at its first use. */
  readonly genericTransport?: Transport | undefined
  /** How long to wait for an answer; 10,000 unless said. */
  readonly deadlineMilliseconds?: CallOptions['deadlineMilliseconds']
}

/**
 * Links, addresses, routes, rules and neighbours of one network namespace. Each call is one request to the kernel, which
 * does it or refuses with a KernelError; nothing is done twice or undone.
 *
 * Closing it closes the descriptor; what was made stays in the kernel.
 */
export class Rtnetlink {
  /** Network interfaces of every kind (RTM_*LINK). */
  readonly links: Links
  /** Of the links (RTM_*ADDR). */
  readonly addresses: Addresses
  /** In all tables (RTM_*ROUTE). */
  readonly routes: Routes
  /** Which table a packet's route is looked for in (RTM_*RULE). */
  readonly rules: Rules
  /** Which hardware address an IP address is behind (RTM_*NEIGH). */
  readonly neighbours: Neighbours
  /** UDP ports that take tunnelled packets (the generic family `fou`). */
  readonly fou: FouPorts
  readonly #connection: Connection
  readonly #generic: Connection

  private constructor(transport: Transport, generic: Transport, options: RtnetlinkOptions) {
    this.#connection = new Connection(transport, options)
    this.#generic = new Connection(generic, options)
    const requests = new Requests(this.#connection)
    this.links = new Links(requests)
    this.addresses = new Addresses(requests)
    this.routes = new Routes(requests)
    this.rules = new Rules(requests)
    this.neighbours = new Neighbours(requests)
    this.fou = new FouPorts(this.#generic)
  }

  /** Throws UnsupportedError if this platform has no addon. */
  // eslint-disable-next-line @typescript-eslint/require-await -- like every other client's; opening may come to wait
  static async open(options: RtnetlinkOptions = {}): Promise<Rtnetlink> {
    const { netns, transport } = options
    let generic = options.genericTransport
    try {
      generic ??= new LateSocket(NETLINK_GENERIC, netns)
      return new Rtnetlink(transport ?? openSocket({ protocol: NETLINK_ROUTE, netns }), generic, options)
    } catch (error) {
      transport?.close()
      generic?.close()
      throw error
    }
  }

  /**
   * What anybody makes, changes and takes away, from the call on: subscribe first, then list, and nothing is missed. All
   * kinds come in one order. Where events were lost, because they were not taken in time, one says
   * `{ event: 'resynchronise' }`, and they go on. Over when the loop is left; an aborted signal and
   * `close()` make it throw.
   */
  events(options: EventOptions = {}): AsyncIterableIterator<RtnetlinkEvent> {
    return events(this.#connection.transport, options)
  }

  /** Closes its descriptors. */
  close(): void {
    this.#connection.close()
    this.#generic.close()
  }

  /** The same, for `await using`. */
  // eslint-disable-next-line @typescript-eslint/require-await -- nothing of it takes time
  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }
}
