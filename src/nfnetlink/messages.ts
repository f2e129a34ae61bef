import {
  isValidationError,
  type KernelError,
  KernelError as Failure,
  MalformedMessageError,
  type UnsupportedError,
  ValidationError,
} from '../errors/index.js'
import {
  type Acknowledgement,
  type AttributeTable,
  type BatchOutcome,
  type CallOptions,
  type Connection,
  hostIsLittleEndian,
  NLM_F_ACK,
  permissionHint,
  type ReadReply,
  type Request,
  type Target,
  type Writer,
} from '../netlink/index.js'
import {
  attributesAt,
  batch,
  batchMessage,
  type NetfilterFamily,
  netfilterFamilies,
  NFGENMSG_BYTES,
} from './wire.js'

/** One message to a subsystem of netfilter: what it is, and its attributes. */
export interface NetfilterMessage extends Target {
  /** Of the subsystem: the lower byte of the message's type. */
  readonly message: number
  readonly flags?: number | undefined
  readonly family: NetfilterFamily
  readonly table: AttributeTable
  readonly record: object
  /** The record was written and is not asked for again: what was made for it alone can be let go. */
  written?(): void
  /** What a ValidationError's path begins with, before what `pathOf` makes of the rest. */
  readonly path?: string | undefined
}

/** What stands in the header of a reply. */
export interface ReplyHeader {
  readonly family: number
  readonly resource: number
}

/** `struct nfgenmsg` of a reply whose payload is at `offset`. */
export function readHeader(view: DataView, offset: number): ReplyHeader {
  if (offset + NFGENMSG_BYTES > view.byteLength) {
    throw new MalformedMessageError('a message without struct nfgenmsg', offset)
  }
  return { family: view.getUint8(offset), resource: view.getUint16(offset + 2) }
}

export interface CommitOptions extends CallOptions {
  /** Only if nothing was changed since this generation. */
  readonly ifGeneration?: number | undefined
  /** Everything is checked, and nothing is changed. */
  readonly check?: boolean | undefined
}

/** A message of a transaction that failed. */
export interface CommitFailure {
  /** Among those that were given; -1 for the transaction itself. */
  readonly index: number
  readonly error: KernelError | UnsupportedError
}

export interface Commit<T> {
  readonly failures: readonly CommitFailure[]
  /** What the kernel said of messages that asked for it (NLM_F_ECHO). */
  readonly results: readonly { readonly index: number; readonly result: T }[]
  /** Some of `results` may be missing. */
  readonly lost: boolean
}

/** Sends messages to one subsystem of netfilter. */
export class Netfilter {
  readonly #connection: Connection
  readonly #subsystem: number

  constructor(connection: Connection, subsystem: number) {
    this.#connection = connection
    this.#subsystem = subsystem
  }

  execute(message: NetfilterMessage, options?: CallOptions): Promise<void> {
    return this.#connection.execute(this.#request(message), options)
  }

  query<T>(message: NetfilterMessage, read: ReadReply<T>, options?: CallOptions): Promise<T[]> {
    return this.#connection.query(this.#request(message), read, options)
  }

  dump<T>(message: NetfilterMessage, read: ReadReply<T>, options?: CallOptions): Promise<T[]> {
    return this.#connection.dump(this.#request(message), read, options)
  }

  dumps<I, T, R>(
    items: readonly I[],
    messageOf: (item: I) => NetfilterMessage,
    read: ReadReply<T>,
    finish: (item: I, found: T[]) => R,
    options?: CallOptions,
  ): Promise<R[]> {
    return this.#connection.dumps(items, (item) => this.#request(messageOf(item)), read, finish, options)
  }

  /** As `dump`, decoded slice by slice as it is asked for. */
  dumpInSlices<T>(
    message: NetfilterMessage,
    read: ReadReply<T>,
    options?: CallOptions,
  ): AsyncGenerator<T[], void, undefined> {
    return this.#connection.dumpInSlices(this.#request(message), read, options)
  }

  /** Messages that the kernel takes one by one, in few sends: one that fails stops none after it. */
  batch<T>(
    items: Iterable<T>,
    messageOf: (item: T) => NetfilterMessage,
    options?: CallOptions,
  ): Promise<BatchOutcome> {
    return this.#connection.batch(
      items,
      {
        write: (writer, flags, sequence, item) =>
          this.#request(messageOf(item)).write(writer, flags, sequence),
        target: (item) => this.#request(messageOf(item)),
      },
      options,
    )
  }

  /**
   * All of it or nothing: one send between a begin and an end (nfnetlink_rcv_batch). Without the end the kernel checks
   * everything and takes it back. Every failure is told; what fails at the end is told of the transaction itself.
   */
  async commit<T>(
    operation: string,
    messages: Iterable<NetfilterMessage>,
    read: ReadReply<T>,
    { ifGeneration, check, ...options }: CommitOptions = {},
  ): Promise<Commit<T>> {
    const list = messages[Symbol.iterator]()
    const first = list.next()
    if (first.done === true) return { failures: [], results: [], lost: false }
    const requests = this.#together(operation, first.value, list, ifGeneration, check === true)
    const answer = await this.#connection.atomic(requests, read, options)
    const failures = answer.failures.map(({ index, error }) => ({ index: index - 1, error }))
    // A dry run ends before the acknowledgement, and what was lost is not what was not done.
    if (failures.length === 0 && answer.acknowledged.size === 0 && check !== true) {
      throw new Failure({
        errno: -105,
        operation,
        kernelMessage: answer.lost
          ? 'the answer was lost, so whether it was committed is unknown'
          : 'the kernel did not answer, so whether it was committed is unknown',
        hint: 'Read back what it was to change',
      })
    }
    const results = answer.results.map(({ index, result }) => ({ index: index - 1, result }))
    return { failures, results, lost: answer.lost }
  }

  /** Between a begin and an end; the last message alone asks for an acknowledgement. */
  *#together(
    operation: string,
    first: NetfilterMessage,
    others: Iterator<NetfilterMessage>,
    ifGeneration: number | undefined,
    check: boolean,
  ): Generator<Request> {
    yield this.#boundary(operation, batchMessage.begin, { generation: ifGeneration })
    let message = first
    for (let next = others.next(); next.done !== true; next = others.next()) {
      yield this.#request(message)
      message = next.value
    }
    // Linux 6.1 answers nothing to the end, and every kernel answers to the last message when all is committed.
    yield this.#request(message, NLM_F_ACK)
    if (!check) yield this.#boundary(operation, batchMessage.end, {})
  }

  #request(message: NetfilterMessage, flags = 0): Request {
    return new MessageRequest(this.#subsystem, message, flags)
  }

  #boundary(operation: string, type: number, record: { readonly generation?: number | undefined }): Request {
    return {
      operation,
      object: undefined,
      table: batch,
      headerBytes: attributesAt,
      hint: generalHint,
      write: (writer, flags, sequence) => {
        const start = begin(writer, type, flags, sequence, 0, this.#subsystem)
        batch.encode(writer, record)
        writer.endMessage(start)
      },
    }
  }
}

/** Of a transaction there may be tens of thousands: what is asked of them is found in the message. */
class MessageRequest implements Request {
  readonly #subsystem: number
  readonly #message: NetfilterMessage
  readonly #flags: number

  constructor(subsystem: number, message: NetfilterMessage, flags: number) {
    this.#subsystem = subsystem
    this.#message = message
    this.#flags = flags
  }

  get operation(): string {
    return this.#message.operation
  }

  get object(): object | undefined {
    return this.#message.object
  }

  get table(): AttributeTable {
    return this.#message.table
  }

  get headerBytes(): number {
    return attributesAt
  }

  pathOf(path: string): string {
    return this.#message.pathOf?.(path) ?? path
  }

  hint(acknowledged: Acknowledgement): string | undefined {
    return this.#message.hint?.(acknowledged) ?? generalHint(acknowledged)
  }

  write(writer: Writer, given: number, sequence: number): void {
    const { message, flags = 0, family, table } = this.#message
    const type = (this.#subsystem << 8) | message
    const start = begin(writer, type, flags | this.#flags | given, sequence, netfilterFamilies[family], 0)
    try {
      table.encode(writer, this.#message.record)
    } catch (error) {
      if (!isValidationError(error)) throw error
      const inner = this.pathOf(error.path)
      const { path } = this.#message
      throw new ValidationError(path === undefined ? inner : `${path}.${inner}`, error.value, error.expected)
    }
    writer.endMessage(start)
    this.#message.written?.()
  }
}

function begin(
  writer: Writer,
  type: number,
  flags: number,
  sequence: number,
  family: number,
  resource: number,
): number {
  const start = writer.beginMessage(type, flags, sequence)
  writer.u8(family)
  writer.u8(0)
  // Network order.
  writer.u16(hostIsLittleEndian ? ((resource & 0xff) << 8) | (resource >> 8) : resource)
  return start
}

const hints: Readonly<Record<number, string>> = {
  [-1]: permissionHint,
  [-95]: 'The kernel lacks this part of netfilter, or it cannot load its module from here',
}

function generalHint({ errno }: Acknowledgement): string | undefined {
  return hints[errno]
}
