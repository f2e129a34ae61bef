import type { AddressFamily } from '../address/index.js'
import { ValidationError } from '../errors/index.js'
import {
  type CallOptions,
  type Connection,
  type Decoded,
  type Encodable,
  eventsOf,
  isObject,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_EXCL,
} from '../netlink/index.js'
import {
  Netfilter,
  netfilterGroup,
  type NetfilterMessage,
  NFGENMSG_BYTES,
  readHeader,
  subsystem,
} from '../nfnetlink/index.js'
import { familyOfNumber } from './flow.js'
import { checkedTuple, isFlow, type FlowKey, netfilterFamilyOf, type Prepared } from './input.js'
import { statisticsOfCpus } from './statistics.js'
import { familyOfTuple, flatPath, type Tuple } from './tuple.js'
import { expectation, expectationMessage as message, expectationStatistics } from './wire.js'

/** A flow that a helper awaits, since another one announced it: the data connection of FTP. */
export interface Expectation extends Decoded<typeof expectation> {
  /** Of its addresses. */
  readonly family: AddressFamily
}

/** An expectation to be made: `master`, `tuple`, `mask` and `timeoutSeconds` are needed. */
export interface ExpectationInput extends Encodable<typeof expectation> {
  /** The original tuple of a flow that has a helper. */
  readonly master: Tuple
  /** What the expected flow looks like. */
  readonly tuple: Tuple
  /** Which bits of it count: of its source those that are set here, of its destination all. */
  readonly mask: Tuple
  /** How long it is awaited. */
  readonly timeoutSeconds: number
}

/** What one processor counted since the namespace was made. */
export interface ExpectationStatistics extends Decoded<typeof expectationStatistics> {
  /** Its number. */
  readonly cpu: number
}

/** What a subscription tells. */
export type ExpectationEvent =
  | {
      /** It is awaited from now on; or no more, because it came, its time is over or somebody took it away. */
      readonly event: 'new' | 'destroy'
      /** What is or was awaited. */
      readonly expectation: Expectation
    }
  /** Events were lost: read the table anew. */
  | { readonly event: 'resynchronise' }

const made = (subsystem.conntrackExpect << 8) | message.new
const gone = (subsystem.conntrackExpect << 8) | message.delete

/** Flows that helpers await. */
export class Expectations {
  readonly #connection: Connection
  readonly #netfilter: Netfilter

  /** @internal */
  constructor(connection: Connection) {
    this.#connection = connection
    this.#netfilter = new Netfilter(connection, subsystem.conntrackExpect)
  }

  /** Those of one flow, or all. @throws KernelError ENOENT if the flow is not there. */
  list(
    {
      family,
      master,
    }: { readonly family?: AddressFamily | undefined; readonly master?: FlowKey | undefined } = {},
    options?: CallOptions,
  ): Promise<Expectation[]> {
    const key =
      master === undefined ? undefined : isFlow(master) ? master.original : checkedTuple(master, 'master')
    const zone = master?.zone
    return this.#netfilter.dump(
      {
        ...about('conntrack.expectations.list', message.get),
        // To a flow without a helper nothing else is answered (ctnetlink_dump_exp_ct).
        flags: NLM_F_ACK,
        family: netfilterFamilyOf(key === undefined ? family : familyOfTuple(key)),
        record: key === undefined ? {} : { master: withoutZone(key), zone: zone === 0 ? undefined : zone },
        object: key,
      },
      readExpectation,
      options,
    )
  }

  /** @throws KernelError ENOENT if the master is not there, EOPNOTSUPP if it has no helper, EEXIST. */
  async create(input: ExpectationInput, options?: CallOptions): Promise<void> {
    if (!isObject(input)) throw new ValidationError('expectation', input, 'an object')
    const { tuple } = input
    checkedTuple(tuple, 'expectation.tuple')
    checkedTuple(input.mask, 'expectation.mask')
    checkedTuple(input.master, 'expectation.master')
    await this.#netfilter.execute(
      {
        ...about('conntrack.expectations.create', message.new),
        flags: NLM_F_CREATE | NLM_F_EXCL,
        family: netfilterFamilyOf(familyOfTuple(tuple)),
        record: input,
        object: tuple,
      },
      options,
    )
  }

  /** Takes one away; of one that was read the id is compared. @throws KernelError ENOENT if it is not there. */
  async delete(key: Pick<Expectation, 'tuple' | 'id' | 'zone'>, options?: CallOptions): Promise<void> {
    await this.#netfilter.execute(deletion(key), options)
  }

  /** Takes all away, or those of one helper. */
  async flush(
    { helper }: { readonly helper?: string | undefined } = {},
    options?: CallOptions,
  ): Promise<void> {
    await this.#netfilter.execute(
      {
        ...about('conntrack.expectations.flush', message.delete),
        family: 'unspecified',
        record: { helper },
        object: { helper },
      },
      options,
    )
  }

  /** Expectations that come and go from now on; as `Conntrack.events`, of flows that began while somebody listened. */
  events(
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): AsyncIterableIterator<ExpectationEvent> {
    return eventsOf<ExpectationEvent>(
      this.#connection.transport,
      [netfilterGroup.expectNew, netfilterGroup.expectDestroy],
      (bytes, view, type, offset, end) =>
        type !== made && type !== gone
          ? undefined
          : {
              event: type === made ? 'new' : 'destroy',
              expectation: readExpectation(bytes, view, offset, end),
            },
      () => ({ event: 'resynchronise' }),
      options.signal,
    )
  }

  /** What each processor counted. */
  statistics(options?: CallOptions): Promise<ExpectationStatistics[]> {
    const { getStatisticsOfCpus } = message
    return statisticsOfCpus(
      this.#netfilter,
      'conntrack.expectations.statistics',
      getStatisticsOfCpus,
      expectationStatistics,
      options,
    )
  }
}

function readExpectation(bytes: Uint8Array, view: DataView, offset: number, end: number): Expectation {
  return {
    family: familyOfNumber(readHeader(view, offset).family),
    ...(expectation.decode(bytes, view, offset + NFGENMSG_BYTES, end) as Decoded<typeof expectation>),
  }
}

function about(operation: string, number: number): Omit<NetfilterMessage, keyof Prepared> {
  return {
    operation,
    message: number,
    table: expectation,
    pathOf: (path) => `expectation.${flatPath(path)}`,
  }
}

function deletion({ tuple, id, zone }: Pick<Expectation, 'tuple' | 'id' | 'zone'>): NetfilterMessage {
  checkedTuple(tuple, 'expectation.tuple')
  return {
    ...about('conntrack.expectations.delete', message.delete),
    family: netfilterFamilyOf(familyOfTuple(tuple)),
    record: { tuple: withoutZone(tuple), id, zone },
    object: tuple,
  }
}

function withoutZone(tuple: Tuple): Tuple {
  return tuple.zone === undefined ? tuple : { ...tuple, zone: undefined }
}
