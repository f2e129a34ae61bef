import { BatchError, type BatchFailure, isKernelError, UnsupportedError } from '../errors/index.js'
import type { Netns } from '../net/index.js'
import {
  type BatchOutcome,
  type CallOptions,
  Connection,
  type Decoded,
  NETLINK_NETFILTER,
  NLM_F_CREATE,
  NLM_F_EXCL,
  openSocket,
  type Transport,
} from '../netlink/index.js'
import { Netfilter, type NetfilterMessage, NFGENMSG_BYTES, subsystem } from '../nfnetlink/index.js'
import { type ConntrackEvent, events, type EventsOptions } from './events.js'
import { Expectations } from './expectations.js'
import { compileFilter, type CompiledFilter, type FlowFilter } from './filter.js'
import { Distinct, type Flow, readFlow } from './flow.js'
import {
  callersPath,
  changedFlow,
  type FlowChanges,
  type FlowInput,
  type FlowKey,
  keyOf,
  newFlow,
  type Prepared,
} from './input.js'
import { statisticsOfCpus } from './statistics.js'
import { conntrack, cpuStatistics, globalStatistics, message } from './wire.js'

/** Where and how a client speaks to the kernel. */
export interface ConntrackOptions {
  /** The network namespace; the current one if left out. */
  readonly netns?: Netns | undefined
  /** Something else than the addon's socket. It is closed with the client. */
  readonly transport?: Transport | undefined
  /** How long to wait for an answer; 10,000 unless said. */
  readonly deadlineMilliseconds?: CallOptions['deadlineMilliseconds']
  /** How much of what comes is kept while nobody reads it, events above all; 16 MiB unless said. */
  readonly receiveBufferBytes?: number | undefined
}

/** How full the connection table is. */
export interface ConntrackUsage {
  /** Flows of this namespace, those too that are being made or taken away. */
  readonly entries: number
  /** How many a namespace may have (nf_conntrack_max); not told before Linux 4.18. */
  readonly limit?: number | undefined
}

/** What one processor counted since the namespace was made. */
export interface CpuStatistics extends Decoded<typeof cpuStatistics> {
  /** Its number. */
  readonly cpu: number
}

const receiveBufferBytes = 16 * 1024 * 1024

/**
 * The connection table of one network namespace: what flows there are, how they are translated and marked, and ending them.
 * Closing it closes the descriptor; flows stay.
 *
 * Packets are tracked where a rule asks for it: a namespace without such rules has no flows but those that are made here.
 */
export class Conntrack {
  /** Flows that helpers await. */
  readonly expectations: Expectations
  readonly #connection: Connection
  readonly #netfilter: Netfilter

  private constructor(options: ConntrackOptions) {
    const transport =
      options.transport ??
      openSocket({
        protocol: NETLINK_NETFILTER,
        netns: options.netns,
        receiveBufferBytes: options.receiveBufferBytes ?? receiveBufferBytes,
      })
    this.#connection = new Connection(transport, options)
    this.#netfilter = new Netfilter(this.#connection, subsystem.conntrack)
    this.expectations = new Expectations(this.#connection)
  }

  /** @throws UnsupportedError if the kernel has no conntrack over netlink, or this platform no addon; KernelError EPERM. */
  static async open(options: ConntrackOptions = {}): Promise<Conntrack> {
    const client = new Conntrack(options)
    try {
      await client.usage(options)
    } catch (error) {
      client.close()
      // A subsystem that nobody has registered (nfnetlink_rcv_msg).
      if (isKernelError(error, 'EINVAL') || isKernelError(error, 'EOPNOTSUPP')) {
        throw new UnsupportedError('connection tracking', 'the kernel module nf_conntrack_netlink', {
          cause: error,
        })
      }
      throw error
    }
    return client
  }

  /** Closes its descriptors. */
  close(): void {
    this.#connection.close()
  }

  /** The same, for `await using`. */
  // eslint-disable-next-line @typescript-eslint/require-await -- nothing of it takes time
  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }

  // Reading

  /**
   * The flows that fit. Those that begin or end meanwhile may or may not be among them, the others are, each once; while
   * somebody changes the size of the table, some may be left out.
   */
  async list(filter?: FlowFilter, options?: CallOptions): Promise<Flow[]> {
    const found: Flow[] = []
    for await (const slice of this.#slices('conntrack.list', filter, options)) {
      for (const flow of slice) found.push(flow)
    }
    return found
  }

  /**
   * The same one by one: `for await (const flow of conntrack.stream(filter))`. The kernel's answer is held in memory (some 250
   * bytes a flow); flows are made of it as they are asked for, and the event loop is let in between.
   */
  async *stream(filter?: FlowFilter, options?: CallOptions): AsyncGenerator<Flow, void, undefined> {
    for await (const slice of this.#slices('conntrack.stream', filter, options)) yield* slice
  }

  /** How many flows fit. Without a filter the kernel's own count, which costs nothing. */
  async count(filter?: FlowFilter, options?: CallOptions): Promise<number> {
    if (filter === undefined) return (await this.usage(options)).entries
    let count = 0
    for await (const slice of this.#slices('conntrack.count', filter, options)) count += slice.length
    return count
  }

  /** One flow by either of its tuples, or undefined. */
  async get(key: FlowKey, options?: CallOptions): Promise<Flow | undefined> {
    const { family, record, object } = keyOf(key)
    try {
      const [found] = await this.#netfilter.query(
        { ...about('conntrack.get', message.get), family, record, object },
        (bytes, view, offset, end) => readFlow(bytes, view, offset, end),
        options,
      )
      return found
    } catch (error) {
      if (isKernelError(error, 'ENOENT')) return undefined
      throw error
    }
  }

  /** How full the table is. */
  async usage(options?: CallOptions): Promise<ConntrackUsage> {
    const [found] = await this.#netfilter.query(
      {
        operation: 'conntrack.usage',
        message: message.getStatistics,
        family: 'unspecified',
        table: globalStatistics,
        record: {},
      },
      (bytes, view, offset, end) =>
        globalStatistics.decode(bytes, view, offset + NFGENMSG_BYTES, end) as Decoded<
          typeof globalStatistics
        >,
      options,
    )
    return found ?? { entries: 0 }
  }

  /** What each processor counted. */
  statistics(options?: CallOptions): Promise<CpuStatistics[]> {
    const { getStatisticsOfCpus } = message
    return statisticsOfCpus(
      this.#netfilter,
      'conntrack.statistics',
      getStatisticsOfCpus,
      cpuStatistics,
      options,
    )
  }

  // Changing

  /**
   * Makes a flow.
   * @throws KernelError EEXIST if there is one with either of the tuples; EOPNOTSUPP for a helper that the kernel lacks.
   */
  async create(flow: FlowInput, options?: CallOptions): Promise<void> {
    await this.#netfilter.execute(creation(flow), options)
  }

  /** Makes any number of flows in few sends; every one that failed is told. */
  createMany(flows: Iterable<FlowInput>, options?: CallOptions): Promise<BatchOutcome> {
    return this.#netfilter.batch(flows, creation, options)
  }

  /**
   * Changes what is given of one flow. A flow that was read is found by its tuple alone: a later one with the same tuple is
   * changed, too.
   * @throws KernelError ENOENT if it is not there; EBUSY for flags that cannot be changed.
   */
  async update(key: FlowKey, changes: FlowChanges, options?: CallOptions): Promise<void> {
    await this.#netfilter.execute(update(key, changes), options)
  }

  /** Changes all flows that fit; how many they were. @throws BatchError, KernelError. */
  updateMatching(filter: FlowFilter, changes: FlowChanges, options?: CallOptions): Promise<number> {
    return this.#applyToMatching('conntrack.updateMatching', filter, (flow) => update(flow, changes), options)
  }

  /**
   * Ends one flow. Of one that was read the id is compared, so that a later one with the same tuple is left alone; only if
   * that has come to stand at the same place of memory the id is the same (nf_ct_get_id).
   * @throws KernelError ENOENT if it is not there.
   */
  async delete(key: FlowKey, options?: CallOptions): Promise<void> {
    await this.#netfilter.execute(deletion(key), options)
  }

  /**
   * Ends all flows that fit, and tells how many they were: those of a real server that died are
   * `{ reply: { source: '10.0.0.7' } }`. Read first and then ended one by one in few sends, so that it does the same on
   * every kernel; those that ended by themselves meanwhile are no failure, and are not counted. Flows that begin
   * meanwhile stay.
   * @throws BatchError if some could not be ended, or if it was aborted in the middle; KernelError.
   */
  deleteMatching(filter: FlowFilter, options?: CallOptions): Promise<number> {
    return this.#applyToMatching('conntrack.deleteMatching', filter, deletion, options)
  }

  /** Ends all flows of the namespace at once, in the kernel. */
  async flush(options?: CallOptions): Promise<void> {
    await this.#netfilter.execute(
      { ...about('conntrack.flush', message.delete), family: 'unspecified', record: {}, object: undefined },
      options,
    )
  }

  // Events

  /**
   * Flows that begin, change and end from now on. It is over when the loop is left, when the signal is aborted (it then
   * throws its reason) or the client is closed (EBADF). What was lost is told by `resynchronise`: read the table anew then.
   *
   * The kernel tells events of flows only that began while somebody listened (net.netfilter.nf_conntrack_events is 2), or of
   * all if that is 1. The counters of a flow that ended are in its last event.
   */
  events(options: EventsOptions = {}): AsyncIterableIterator<ConntrackEvent> {
    return events(this.#connection.transport, options)
  }

  /** Flows that fit, in slices, each once. */
  async *#slices(
    operation: string,
    given: FlowFilter | undefined,
    options: CallOptions | undefined,
  ): AsyncGenerator<Flow[], void, undefined> {
    const filter = compileFilter(given)
    try {
      yield* this.#dump(operation, filter, options)
    } catch (error) {
      // A kernel without zones or marks says so before anything else. Here they are looked at all the same.
      if (!isKernelError(error, 'EOPNOTSUPP')) throw error
      yield* this.#dump(operation, { ...filter, record: {} }, options)
    }
  }

  #dump(
    operation: string,
    { family, record, object, matches }: CompiledFilter,
    options: CallOptions | undefined,
  ): AsyncGenerator<Flow[], void, undefined> {
    const distinct = new Distinct()
    return this.#netfilter.dumpInSlices(
      { ...about(operation, message.get), family, record, object, pathOf: pathOfFilter },
      (bytes, view, offset, end) => {
        const flow = readFlow(bytes, view, offset, end)
        return matches(flow) && distinct.isNew(flow, view, offset) ? flow : undefined
      },
      options,
    )
  }

  async #applyToMatching(
    operation: string,
    filter: FlowFilter,
    messageOf: (flow: Flow) => NetfilterMessage,
    options: CallOptions | undefined,
  ): Promise<number> {
    let applied = 0
    let seen = 0
    const failures: BatchFailure[] = []
    try {
      for await (const slice of this.#slices(operation, filter, options)) {
        const outcome = await this.#netfilter.batch(slice, messageOf, options)
        applied += outcome.applied
        for (const failure of outcome.failures) {
          if (!isKernelError(failure.error, 'ENOENT'))
            failures.push({ ...failure, index: seen + failure.index })
        }
        seen += slice.length
        if (outcome.notSent > 0) options?.signal?.throwIfAborted()
      }
    } catch (cause) {
      if (applied === 0 && failures.length === 0) throw cause
      throw new BatchError(operation, applied, failures, { cause })
    }
    if (failures.length > 0) throw new BatchError(operation, applied, failures)
    return applied
  }
}

/** What all messages about flows have in common. */
function about(operation: string, number: number): Omit<NetfilterMessage, 'family' | 'record'> {
  return { operation, message: number, table: conntrack, pathOf: callersPath }
}

/** Of a batch there are tens of thousands: written out, it is made at once. */
function prepared(
  operation: string,
  number: number,
  { family, record, object }: Prepared,
  flags?: number,
): NetfilterMessage {
  return { operation, message: number, table: conntrack, pathOf: callersPath, family, record, object, flags }
}

function creation(flow: FlowInput): NetfilterMessage {
  return prepared('conntrack.create', message.new, newFlow(flow), NLM_F_CREATE | NLM_F_EXCL)
}

function update(key: FlowKey, changes: FlowChanges): NetfilterMessage {
  return prepared('conntrack.update', message.new, changedFlow(key, changes))
}

function deletion(key: FlowKey): NetfilterMessage {
  return prepared('conntrack.delete', message.delete, keyOf(key))
}

function pathOfFilter(path: string): string {
  return callersPath(path).replace(/^flow\./, 'filter.')
}
