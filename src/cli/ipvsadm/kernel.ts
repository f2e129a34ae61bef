/**
 * The IPVS of one namespace, as the command needs it: below the library's own client, because ipvsadm accepts what that
 * refuses, and because a list for printing wants numbers and raw bytes and no objects made for programs.
 */
import { isKernelError, UnsupportedError } from '../../errors/index.js'
import {
  type GenericBatchCodec,
  type GenericCommand,
  GenericFamily,
  GENL_HDRLEN,
} from '../../genetlink/index.js'
import {
  command,
  daemon as daemonTable,
  info as infoTable,
  IPVS_GENL_NAME,
  IPVS_GENL_VERSION,
  top,
} from '../../ipvs/wire.js'
import { type ProcTable, readProcTable } from '../../ipvs/proc.js'
import type { Netns } from '../../net/index.js'
import {
  type BatchOutcome,
  Connection,
  type Decoded,
  type Encodable,
  NETLINK_GENERIC,
  openSocket,
  type Transport,
} from '../../netlink/index.js'
import { exitUsage, UsageError } from '../exit.js'
import type { Change, Command, WireKey } from './command.js'
import {
  keyOf,
  type ListedDestination,
  listedKeyTop,
  type ListedService,
  readBareService,
  readDestination,
  readService,
  ServiceList,
} from './listed.js'
import type { TableSource } from './table.js'

export interface KernelInfo {
  readonly version: number
  readonly connectionTableSize: number
}

export class Kernel implements TableSource {
  readonly #connection: Connection
  readonly #family: GenericFamily

  private constructor(
    connection: Connection,
    family: GenericFamily,
    readonly netns: Netns | undefined,
    readonly info: KernelInfo,
  ) {
    this.#connection = connection
    this.#family = family
  }

  /** @throws UsageError if the kernel has no IPVS or does not let us at it. */
  static async open(
    options: { readonly netns?: Netns | undefined; readonly transport?: Transport | undefined } = {},
  ): Promise<Kernel> {
    const { netns, transport } = options
    try {
      const connection = new Connection(transport ?? openSocket({ protocol: NETLINK_GENERIC, netns }))
      try {
        const family = await GenericFamily.open(connection, IPVS_GENL_NAME, IPVS_GENL_VERSION)
        return new Kernel(connection, family, netns, await readInfo(family))
      } catch (error) {
        connection.close()
        throw error
      }
    } catch (error) {
      throw cannotInitialize(error)
    }
  }

  close(): void {
    this.#connection.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.close()
    return Promise.resolve()
  }

  /** @param withStatistics  Without them a table is read in half the time. */
  async services(withStatistics: boolean): Promise<ServiceList> {
    const list = new ServiceList()
    const read = withStatistics ? readService : readBareService
    await this.#family.dump(request('services', command.getService), (bytes, view, offset, end, type) => {
      const service = read(bytes, view, offset, end, type)
      if (service !== undefined) list.push(service)
      return undefined
    })
    return list
  }

  /** @throws KernelError ESRCH if it is not there. */
  async service(key: WireKey): Promise<ListedService> {
    const found = await this.#family.query(
      request('service', command.getService, { service: key }),
      readService,
    )
    return found[0]!
  }

  /** Of each of these services, in the same order. */
  destinations(services: ServiceList, indices: readonly number[]): Promise<ListedDestination[][]> {
    const dump = (index: number): GenericCommand => ({
      operation: 'ipvsadm.destinations',
      command: command.getDestination,
      attributes: listedKeyTop,
      record: { service: keyOf(services.at(index)) },
    })
    return this.#family.dumps(indices, dump, readDestination, (_, found) => found)
  }

  /** The table as /proc has it; undefined where /proc is not to be had. */
  procTable(): Promise<ProcTable | undefined> {
    return readProcTable({ netns: this.netns }).catch(() => undefined)
  }

  /** Any number of changes in few sends; what failed is told by its number. */
  apply(changes: Iterable<Change>): Promise<BatchOutcome> {
    return this.#family.batch(changes, changeCodec)
  }

  async change(change: Change): Promise<void> {
    const { operation } = changeCodec.target(change)
    await this.#family.execute({
      operation,
      command: changeCodec.command(change),
      attributes: top,
      record: changeCodec.record(change),
    })
  }

  async flush(): Promise<void> {
    await this.#family.execute(request('flush', command.flush))
  }

  async zero(service: WireKey | undefined): Promise<void> {
    await this.#family.execute(request('zero', command.zero, { service }))
  }

  async timeouts(): Promise<Decoded<typeof top> | undefined> {
    return (await this.#family.query(request('timeouts', command.getConfig), readTop))[0]
  }

  async setTimeouts(seconds: Extract<Command, { command: 'set' }>): Promise<void> {
    const record = {
      tcpTimeoutSeconds: seconds.tcpSeconds,
      tcpFinTimeoutSeconds: seconds.tcpFinSeconds,
      udpTimeoutSeconds: seconds.udpSeconds,
    }
    await this.#family.execute(request('set', command.setConfig, record))
  }

  async daemons(): Promise<Decoded<typeof daemonTable>[]> {
    const found = await this.#family.dump(request('daemons', command.getDaemon), readTop)
    return found.flatMap(({ daemon }) => (daemon === undefined ? [] : [daemon]))
  }

  async startDaemon(daemon: Encodable<typeof daemonTable>): Promise<void> {
    await this.#family.execute(request('start-daemon', command.newDaemon, { daemon }))
  }

  async stopDaemon(state: 'master' | 'backup'): Promise<void> {
    await this.#family.execute(request('stop-daemon', command.deleteDaemon, { daemon: { state } }))
  }
}

function request(name: string, number: number, record: Encodable<typeof top> = {}): GenericCommand {
  return { operation: `ipvsadm.${name}`, command: number, attributes: top, record }
}

/** Asked for first: whoever may not do this may do nothing. */
async function readInfo(family: GenericFamily): Promise<KernelInfo> {
  const [found] = await family.query(
    request('info', command.getInfo),
    (bytes, view, offset, end) =>
      infoTable.decode(bytes, view, offset + GENL_HDRLEN, end) as Decoded<typeof infoTable>,
  )
  return found!
}

function cannotInitialize(error: unknown): unknown {
  const why = isKernelError(error, 'EPERM')
    ? 'Permission denied (you must be root)'
    : isKernelError(error, 'ENOENT') && !error.operation.startsWith('netns.')
      ? 'Protocol not available'
      : error instanceof UnsupportedError
        ? error.message
        : undefined
  if (why === undefined) return error
  return new UsageError(
    `Can't initialize ipvs: ${why}\n` +
      'Are you sure that IP Virtual Server is built in the kernel or as module?\n' +
      '(`viaduct doctor` tells what is missing.)',
    exitUsage,
  )
}

const changeNumbers = {
  'add-service': command.newService,
  'edit-service': command.setService,
  'delete-service': command.deleteService,
  'add-server': command.newDestination,
  'edit-server': command.setDestination,
  'delete-server': command.deleteDestination,
} as const

const changeCodec: GenericBatchCodec<Change> & { record(change: Change): Encodable<typeof top> } = {
  attributes: top,
  command: (change) => changeNumbers[change.command],
  record: (change) =>
    'destination' in change
      ? { service: change.service, destination: change.destination }
      : { service: change.service },
  target: (change) => ({ operation: `ipvsadm.${change.command}`, object: change }),
}

function readTop(bytes: Uint8Array, view: DataView, offset: number, end: number): Decoded<typeof top> {
  return top.decode(bytes, view, offset + GENL_HDRLEN, end)
}
