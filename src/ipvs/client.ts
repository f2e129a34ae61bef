import { isKernelError, UnsupportedError, ValidationError } from '../errors/index.js'
import { type GenericCommand, GenericFamily, GENL_HDRLEN } from '../genetlink/index.js'
import type { Netns } from '../net/index.js'
import {
  type BatchOutcome,
  type CallOptions,
  Connection,
  type Encodable,
  NETLINK_GENERIC,
  openSocket,
  type Transport,
} from '../netlink/index.js'
import {
  type ConnectionFilter,
  connections,
  type ConnectionsOptions,
  type IpvsConnection,
} from './connections.js'
import { diagnose, type Diagnosis } from './diagnose.js'
import { hintFor } from './hints.js'
import { type IpvsInfo, readInfo } from './info.js'
import {
  type DestinationInput,
  type DestinationKey,
  keyOf,
  type Service,
  type ServiceInput,
  type ServiceKey,
  serviceOfWire,
  wireKey,
} from './input.js'
import { commandOf, type IpvsOperation, OperationCodec } from './operations.js'
import { distinct, distinctOfMany, type Identity } from './reading.js'
import { IpvsSettings } from './sysctl.js'
import {
  command,
  daemon as daemonTable,
  type Destination,
  IPVS_GENL_NAME,
  IPVS_GENL_VERSION,
  top,
} from './wire.js'
import type { Decoded } from '../netlink/index.js'

/** Where the client works, and over what. */
export interface IpvsOptions extends CallOptions {
  /** The network namespace; the current one if left out. */
  readonly netns?: Netns | undefined
  /** Something else than the addon's socket. It is closed with the client. */
  readonly transport?: Transport | undefined
}

/** A service and its destinations. */
export interface ServiceEntry {
  /** Its key, its options and its counters. */
  readonly service: Service
  /** Of this service, in the kernel's order; empty if it has none. */
  readonly destinations: readonly Destination[]
}

/** Connection timeouts of the protocols. */
export interface Timeouts {
  /** Established TCP connections. */
  readonly tcpSeconds: number
  /** After a FIN. */
  readonly tcpFinSeconds: number
  /** UDP flows. */
  readonly udpSeconds: number
}

/** A sync daemon that runs. */
export interface Daemon extends Decoded<typeof daemonTable> {}
/** A sync daemon to start; `state` and `interface` are needed. */
export interface DaemonInput extends Encodable<typeof daemonTable> {
  /** `master` sends what connections there are, `backup` takes it in. */
  readonly state: 'master' | 'backup'
  /** Name of the one that it multicasts on: `eth0`. */
  readonly interface: string
}

/**
 * The IPVS tables of one network namespace. Every command of the kernel's interface, typed; for one service and its
 * servers IpvsService is more convenient.
 *
 * Closing it closes the descriptor; services stay in the kernel and go on forwarding.
 */
export class Ipvs {
  readonly #connection: Connection
  readonly #family: GenericFamily
  /** The namespace that this client speaks to. */
  readonly netns: Netns | undefined
  /** `net.ipv4.vs.*` of that namespace. */
  readonly settings: IpvsSettings

  private constructor(connection: Connection, family: GenericFamily, netns: Netns | undefined) {
    this.#connection = connection
    this.#family = family
    this.netns = netns
    this.settings = new IpvsSettings(netns)
  }

  /**
   * Opens a socket and finds IPVS, which loads the module `ip_vs` on a modular kernel.
   * @throws UnsupportedError if the kernel has no IPVS, or this platform no addon.
   */
  static async open(options: IpvsOptions = {}): Promise<Ipvs> {
    options.signal?.throwIfAborted()
    const transport = options.transport ?? openSocket({ protocol: NETLINK_GENERIC, netns: options.netns })
    const connection = new Connection(transport, options)
    try {
      const family = await GenericFamily.open(connection, IPVS_GENL_NAME, IPVS_GENL_VERSION, options)
      return new Ipvs(connection, family, options.netns)
    } catch (error) {
      connection.close()
      if (!isKernelError(error, 'ENOENT')) throw error
      throw new UnsupportedError(
        'IPVS',
        'the kernel module ip_vs (CONFIG_IP_VS), which could not be loaded from here: run `modprobe ip_vs` on the host, or boot a kernel that has it; `viaduct doctor` tells more',
        { cause: error },
      )
    }
  }

  // Services

  /** @throws KernelError EEXIST if it is there; ENOENT if the scheduler or engine is absent. ValidationError. */
  async createService(service: ServiceInput, options?: CallOptions): Promise<void> {
    await this.#family.execute(commandOf({ operation: 'createService', service }), options)
  }

  /** Replaces everything about a service but its destinations: what is left out gets its default. */
  async setService(service: ServiceInput, options?: CallOptions): Promise<void> {
    await this.#family.execute(commandOf({ operation: 'setService', service }), options)
  }

  /**
   * Deletes a service with its destinations. What becomes of their connections: see `deleteDestination`. With the last
   * service of an address family IPVS leaves the way of the packets: those of running connections are then treated as
   * if there were no IPVS, so that a director which has the address itself answers them with a reset.
   */
  async deleteService(service: ServiceKey, options?: CallOptions): Promise<void> {
    await this.#family.execute(commandOf({ operation: 'deleteService', service }), options)
  }

  /** One service, or undefined if it is not there. */
  async service(key: ServiceKey, options?: CallOptions): Promise<Service | undefined> {
    try {
      return (await this.#family.query(getService(key), readService, options))[0]
    } catch (error) {
      if (isKernelError(error, 'ESRCH')) return undefined
      throw error
    }
  }

  /**
   * Every service of the namespace. Of a table with more than eight, services can be left out that are there, if others
   * are deleted by somebody at the same moment: the kernel counts where it was. `service()` is sure of one.
   */
  async services(options?: CallOptions): Promise<Service[]> {
    return distinctOfMany(await this.#family.dump(listServices, readService, options), serviceName)
  }

  /** Every service with its destinations; as sure as `services()` and `destinations()` are. */
  async list(options?: CallOptions): Promise<ServiceEntry[]> {
    const services = await this.services(options)
    const entryOf = (service: Service, found: Destination[]): ServiceEntry => ({
      service,
      destinations: distinct(found, destinationIdentity),
    })
    return this.#family.dumps(services, listDestinationsOf, readDestination, entryOf, options)
  }

  // Destinations

  /** @throws KernelError EEXIST if it is there; ESRCH if the service is not. ValidationError. */
  async createDestination(
    service: ServiceKey,
    destination: DestinationInput,
    options?: CallOptions,
  ): Promise<void> {
    await this.#family.execute(commandOf({ operation: 'createDestination', service, destination }), options)
  }

  /** Replaces everything about a destination: what is left out gets its default. Connections stay. */
  async setDestination(
    service: ServiceKey,
    destination: DestinationInput,
    options?: CallOptions,
  ): Promise<void> {
    await this.#family.execute(commandOf({ operation: 'setDestination', service, destination }), options)
  }

  /**
   * Takes a destination out; weight 0 lets its connections finish first. Packets of those that it still has are dropped
   * in silence until they time out at both ends, or go on if the destination comes back before. With the setting
   * `expireNodestConn` they are ended at their next packet instead.
   */
  async deleteDestination(
    service: ServiceKey,
    destination: DestinationKey,
    options?: CallOptions,
  ): Promise<void> {
    await this.#family.execute(commandOf({ operation: 'deleteDestination', service, destination }), options)
  }

  /**
   * The destinations of one service. Of more than eight, some can be left out that are there, if others are deleted by
   * somebody at the same moment: the kernel counts where it was.
   * @throws KernelError ESRCH if the service is not there.
   */
  async destinations(service: ServiceKey, options?: CallOptions): Promise<Destination[]> {
    const found = await this.#family.dump(listDestinations(service), readDestination, options)
    // The kernel answers for an unknown service with an empty success (ip_vs_genl_dump_dests).
    if (found.length === 0) await this.#family.query(getService(service), readService, options)
    return distinct(found, destinationIdentity)
  }

  // Many at once

  /**
   * Applies any number of changes in few sends. An operation that fails stops none after it and takes none back:
   * every failure is told with its operation and object. Changes of a scheduler wait for an RCU grace period each
   * (some 20 ms) and are best put last.
   */
  apply(operations: Iterable<IpvsOperation>, options?: CallOptions): Promise<BatchOutcome> {
    return this.#family.batch(operations, new OperationCodec(), options)
  }

  /** Collects changes and sends them together. */
  batch(): IpvsBatch {
    return new IpvsBatch(this)
  }

  // Everything else

  /** How long connections live without a packet, in seconds. */
  async timeouts(options?: CallOptions): Promise<Timeouts> {
    const [found] = await this.#family.query(
      {
        operation: 'ipvs.timeouts',
        command: command.getConfig,
        attributes: top,
        record: {},
        hint: hintFor('config', 'get'),
      },
      readTop,
      options,
    )
    return {
      tcpSeconds: found?.tcpTimeoutSeconds ?? 0,
      tcpFinSeconds: found?.tcpFinTimeoutSeconds ?? 0,
      udpSeconds: found?.udpTimeoutSeconds ?? 0,
    }
  }

  /** Sets those that are given, in whole seconds from 1. */
  async setTimeouts(timeouts: Partial<Timeouts>, options?: CallOptions): Promise<void> {
    for (const [key, value] of Object.entries(timeouts).filter(([, given]) => given !== undefined)) {
      // The kernel takes 0 as "leave it" and says nothing (ip_vs_set_timeout).
      if (!Number.isInteger(value) || value < 1 || value > mostTimeout) {
        throw new ValidationError(`timeouts.${key}`, value, `an integer from 1 to ${mostTimeout} (seconds)`)
      }
    }
    await this.#family.execute(
      {
        operation: 'ipvs.setTimeouts',
        object: timeouts,
        command: command.setConfig,
        attributes: top,
        record: {
          tcpTimeoutSeconds: timeouts.tcpSeconds ?? 0,
          tcpFinTimeoutSeconds: timeouts.tcpFinSeconds ?? 0,
          udpTimeoutSeconds: timeouts.udpSeconds ?? 0,
        },
        hint: hintFor('config', 'set'),
      },
      options,
    )
  }

  /** Version of IPVS, and the size of the connection table. */
  info(options?: CallOptions): Promise<IpvsInfo> {
    return readInfo(this.#family, options)
  }

  /** What is being forwarded right now, read piece by piece: `for await (const connection of ipvs.connections())`. */
  connections(
    filter?: ConnectionFilter,
    options?: ConnectionsOptions,
  ): AsyncGenerator<IpvsConnection, void, undefined> {
    return connections(this.netns, filter, options)
  }

  /** What IPVS needs here and what is missing: modules, privileges, the namespace's state and settings. */
  diagnose(options?: CallOptions): Promise<Diagnosis> {
    return diagnose({ ...options, netns: this.netns })
  }

  /** Sets the counters of one service and its destinations to zero, or of all. */
  async zero(service?: ServiceKey, options?: CallOptions): Promise<void> {
    await this.#family.execute(
      {
        operation: 'ipvs.zero',
        object: service && keyOf(service),
        command: command.zero,
        attributes: top,
        record: service === undefined ? {} : { service: wireKey(service) },
        hint: hintFor('service', 'zero'),
      },
      options,
    )
  }

  /**
   * Deletes every service of this namespace, whoever made it. Never to reload: destinations stay in the kernel's trash
   * for up to two minutes, and adding others walks that list.
   */
  async flush(options?: CallOptions): Promise<void> {
    await this.#family.execute(
      {
        operation: 'ipvs.flush',
        command: command.flush,
        attributes: top,
        record: {},
        hint: hintFor('service', 'delete'),
      },
      options,
    )
  }

  /** The sync daemons that run here: none, a master, a backup or both. */
  async daemons(options?: CallOptions): Promise<Daemon[]> {
    const found = await this.#family.dump(
      {
        operation: 'ipvs.daemons',
        command: command.getDaemon,
        attributes: top,
        record: {},
        hint: hintFor('daemon', 'get'),
      },
      readTop,
      options,
    )
    return found.flatMap((message) => (message.daemon === undefined ? [] : [message.daemon]))
  }

  /** Starts a sync daemon; one as master and one as backup may run. @throws KernelError EEXIST, ENODEV. */
  async startDaemon(daemon: DaemonInput, options?: CallOptions): Promise<void> {
    if (daemon.multicastGroup?.includes(':') === true) {
      throw new ValidationError(
        'daemon.multicastGroup',
        daemon.multicastGroup,
        'IPv4; multicastGroup6 takes IPv6',
      )
    }
    if (daemon.multicastGroup6?.includes(':') === false) {
      throw new ValidationError('daemon.multicastGroup6', daemon.multicastGroup6, 'an IPv6 multicast address')
    }
    // The kernel takes the one and forgets the other (ip_vs_genl_new_daemon).
    if (daemon.multicastGroup !== undefined && daemon.multicastGroup6 !== undefined) {
      throw new ValidationError(
        'daemon.multicastGroup6',
        daemon.multicastGroup6,
        'none beside multicastGroup',
      )
    }
    // It takes a byte on the wire: a master would send another, a backup would take none.
    if (daemon.syncId !== undefined && !(daemon.syncId >= 0 && daemon.syncId <= 255)) {
      throw new ValidationError('daemon.syncId', daemon.syncId, 'an integer from 0 to 255')
    }
    await this.#family.execute(
      {
        operation: 'ipvs.startDaemon',
        object: daemon,
        command: command.newDaemon,
        attributes: top,
        // SYNC_ID is demanded by ip_vs_genl_new_daemon even where it is 0.
        record: { daemon: { ...daemon, syncId: daemon.syncId ?? 0 } },
        hint: hintFor('daemon', 'create'),
      },
      options,
    )
  }

  /** @throws KernelError ESRCH if none of this state runs. */
  async stopDaemon(state: 'master' | 'backup', options?: CallOptions): Promise<void> {
    await this.#family.execute(
      {
        operation: 'ipvs.stopDaemon',
        object: { state },
        command: command.deleteDaemon,
        attributes: top,
        record: { daemon: { state } },
        hint: hintFor('daemon', 'delete'),
      },
      options,
    )
  }

  /** Closes the descriptor. What is in the kernel stays there. */
  close(): void {
    this.#connection.close()
  }

  /** As `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    this.close()
    return Promise.resolve()
  }
}

/** Changes that are sent together: see `Ipvs.apply`. */
export class IpvsBatch {
  readonly #ipvs: Ipvs
  #operations: IpvsOperation[] = []

  constructor(ipvs: Ipvs) {
    this.#ipvs = ipvs
  }

  /** How many changes are collected. */
  get size(): number {
    return this.#operations.length
  }

  /** Adds a service to be made. */
  createService(service: ServiceInput): this {
    return this.#add({ operation: 'createService', service })
  }

  /** Adds a service to be replaced, but for its destinations. */
  setService(service: ServiceInput): this {
    return this.#add({ operation: 'setService', service })
  }

  /** Adds a service to be deleted with its destinations. */
  deleteService(service: ServiceKey): this {
    return this.#add({ operation: 'deleteService', service })
  }

  /** Adds a destination to be made. */
  createDestination(service: ServiceKey, destination: DestinationInput): this {
    return this.#add({ operation: 'createDestination', service, destination })
  }

  /** Adds a destination to be replaced; its connections stay. */
  setDestination(service: ServiceKey, destination: DestinationInput): this {
    return this.#add({ operation: 'setDestination', service, destination })
  }

  /** Adds a destination to be deleted. */
  deleteDestination(service: ServiceKey, destination: DestinationKey): this {
    return this.#add({ operation: 'deleteDestination', service, destination })
  }

  #add(operation: IpvsOperation): this {
    this.#operations.push(operation)
    return this
  }

  /** Sends what was collected, in this order, and starts anew. Failures are returned, not thrown. */
  send(options?: CallOptions): Promise<BatchOutcome> {
    const operations = this.#operations
    this.#operations = []
    return this.#ipvs.apply(operations, options)
  }
}

const mostTimeout = 86_400 * 31

const listServices: GenericCommand = {
  operation: 'ipvs.services',
  command: command.getService,
  attributes: top,
  record: {},
  hint: hintFor('service', 'get'),
}

function getService(key: ServiceKey): GenericCommand {
  return {
    operation: 'ipvs.service',
    object: keyOf(key),
    command: command.getService,
    attributes: top,
    record: { service: wireKey(key) },
    hint: hintFor('service', 'get'),
  }
}

function listDestinations(key: ServiceKey, service = wireKey(key)): GenericCommand {
  return {
    operation: 'ipvs.destinations',
    object: keyOf(key),
    command: command.getDestination,
    attributes: top,
    record: { service },
    hint: hintFor('destination', 'get'),
  }
}

/** Of a service that was read. It may be one that could not be made with this library: of another protocol. */
function listDestinationsOf(read: Service): GenericCommand {
  return listDestinations(read, { family: read.family, ...keyOf(read) })
}

// What was read is spelled in one way: no need to parse it again, as `serviceId` and `destinationId` do.

function serviceName(read: Service): string {
  return read.firewallMark === undefined
    ? `${read.protocol} ${read.address} ${read.port}`
    : `${read.family} ${read.firewallMark}`
}

const destinationIdentity: Identity<Destination> = {
  nameOf: ({ address, port }) => `${address} ${port}`,
  isSame: (a, b) => a.port === b.port && a.address === b.address,
}

type Top = Decoded<typeof top>

function readTop(bytes: Uint8Array, view: DataView, offset: number, end: number): Top {
  return top.decode(bytes, view, offset + GENL_HDRLEN, end)
}

function readService(bytes: Uint8Array, view: DataView, offset: number, end: number): Service | undefined {
  const { service } = readTop(bytes, view, offset, end)
  return service && serviceOfWire(service)
}

function readDestination(
  bytes: Uint8Array,
  view: DataView,
  offset: number,
  end: number,
): Destination | undefined {
  return readTop(bytes, view, offset, end).destination
}
