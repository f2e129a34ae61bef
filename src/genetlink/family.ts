import { isKernelError, KernelError, MalformedMessageError } from '../errors/index.js'
import {
  type AttributeTable,
  type BatchOutcome,
  type CallOptions,
  type Connection,
  type Decoded,
  NLMSG_HDRLEN,
  type ReadReply,
  type Request,
  type Target,
  type Writer,
} from '../netlink/index.js'
import { CTRL_CMD_GETFAMILY, family as familyTable, GENL_HDRLEN, GENL_ID_CTRL } from './wire.js'

/** Bytes before the first attribute of a generic netlink message. */
export const attributesAt = NLMSG_HDRLEN + GENL_HDRLEN

export interface GenericCommand extends Target {
  readonly command: number
  readonly attributes: AttributeTable
  readonly record: object
  /** The kernel may wait in it. */
  readonly mayWait?: boolean | undefined
}

/** How the operations of a batch become commands. */
export interface GenericBatchCodec<T> {
  readonly attributes: AttributeTable
  command(item: T): number
  /** May throw a ValidationError: the operation then fails by itself. */
  record(item: T): object
  /** What an error must name; asked for operations that failed. */
  target(item: T): Target
  /** The kernel may wait in it: it is never sent while the event loop is held. */
  mayWait?(item: T): boolean
}

/**
 * A family of generic netlink. Its number is given out when its module is loaded and another one after it was
 * unloaded; the kernel then answers ENOENT to the old one. So on ENOENT the number is resolved anew, and the request
 * sent once more if it has changed.
 */
export class GenericFamily {
  readonly name: string
  readonly #connection: Connection
  readonly #version: number
  #description: Decoded<typeof familyTable>

  private constructor(
    connection: Connection,
    name: string,
    version: number,
    description: Decoded<typeof familyTable>,
  ) {
    this.name = name
    this.#connection = connection
    this.#version = version
    this.#description = description
  }

  /** Resolves a family by name, which loads its module on a modular kernel. Throws ENOENT if there is none. */
  static async open(
    connection: Connection,
    name: string,
    version: number,
    options?: CallOptions,
  ): Promise<GenericFamily> {
    return new GenericFamily(connection, name, version, await resolve(connection, name, options))
  }

  get id(): number {
    return this.#description.id
  }

  /** The number of a multicast group, for `Transport.subscribe`. */
  multicastGroup(name: string): number | undefined {
    return this.#description.multicastGroups?.find((group) => group.name === name)?.id
  }

  async execute(command: GenericCommand, options?: CallOptions): Promise<void> {
    await this.#fresh(command, () => this.#connection.execute(this.#request(command), options), options)
  }

  query<T>(command: GenericCommand, read: ReadReply<T>, options?: CallOptions): Promise<T[]> {
    return this.#fresh(command, () => this.#connection.query(this.#request(command), read, options), options)
  }

  dump<T>(command: GenericCommand, read: ReadReply<T>, options?: CallOptions): Promise<T[]> {
    return this.#fresh(command, () => this.#connection.dump(this.#request(command), read, options), options)
  }

  dumps<I, T, R>(
    items: readonly I[],
    commandOf: (item: I) => GenericCommand,
    read: ReadReply<T>,
    finish: (item: I, found: T[]) => R,
    options?: CallOptions,
  ): Promise<R[]> {
    const requestOf = (item: I): Request => this.#request(commandOf(item))
    const work = (): Promise<R[]> => this.#connection.dumps(items, requestOf, read, finish, options)
    const [first] = items
    return first === undefined ? work() : this.#fresh(commandOf(first), work, options)
  }

  /** The number is resolved before a batch (some µs): behind a stale one, every single operation would fail. */
  async batch<T>(
    items: Iterable<T>,
    codec: GenericBatchCodec<T>,
    options?: CallOptions,
  ): Promise<BatchOutcome> {
    options?.signal?.throwIfAborted()
    await this.refresh(options)
    const { attributes } = codec
    return this.#connection.batch(
      items,
      {
        write: (writer, flags, sequence, item) => {
          const start = this.#begin(writer, flags, sequence, codec.command(item))
          attributes.encode(writer, codec.record(item))
          writer.endMessage(start)
        },
        target: (item) => ({ headerBytes: attributesAt, table: attributes, ...codec.target(item) }),
        mayWait: (item) => codec.mayWait?.(item) === true,
      },
      options,
    )
  }

  #request(command: GenericCommand): Request {
    return {
      operation: command.operation,
      object: command.object,
      table: command.attributes,
      headerBytes: attributesAt,
      pathOf: command.pathOf,
      hint: command.hint,
      mayWait: command.mayWait,
      write: (writer, flags, sequence) => {
        const start = this.#begin(writer, flags, sequence, command.command)
        command.attributes.encode(writer, command.record)
        writer.endMessage(start)
      },
    }
  }

  #begin(writer: Writer, flags: number, sequence: number, command: number): number {
    return beginGeneric(writer, this.#description.id, flags, sequence, command, this.#version)
  }

  /** ENOENT may be what the command means to say, or that the number is of the past. */
  async #fresh<T>(
    { operation, object }: Target,
    call: () => Promise<T>,
    options: CallOptions | undefined,
  ): Promise<T> {
    try {
      return await call()
    } catch (error) {
      if (!isKernelError(error, 'ENOENT')) throw error
      let hasChanged: boolean
      try {
        hasChanged = await this.refresh(options)
      } catch (trouble) {
        if (isKernelError(trouble, 'ENOENT')) throw this.#gone(operation, object, trouble)
        // The number could not be looked up (a deadline, an abort): what is known is what the kernel said before.
        throw error
      }
      if (!hasChanged) throw error
      return call()
    }
  }

  /** The kernel answers to a number that is nobody's as to an object that is absent. */
  #gone(operation: string, object: object | undefined, cause: unknown): KernelError {
    return new KernelError({
      errno: -2,
      operation,
      object,
      kernelMessage: `the kernel has no generic netlink family ${this.name} any more`,
      hint: 'Its module was unloaded',
      cause,
    })
  }

  /** Resolves the family anew; true if its number has changed. */
  async refresh(options?: CallOptions): Promise<boolean> {
    const before = this.#description.id
    this.#description = await resolve(this.#connection, this.name, options)
    return this.#description.id !== before
  }
}

function beginGeneric(
  writer: Writer,
  type: number,
  flags: number,
  sequence: number,
  command: number,
  version: number,
): number {
  const start = writer.beginMessage(type, flags, sequence)
  writer.u8(command)
  writer.u8(version)
  writer.u16(0)
  return start
}

async function resolve(
  connection: Connection,
  name: string,
  options?: CallOptions,
): Promise<Decoded<typeof familyTable>> {
  const replies = await connection.query(
    {
      operation: 'genetlink.getFamily',
      object: { name },
      table: familyTable,
      headerBytes: attributesAt,
      write(writer, flags, sequence) {
        const start = beginGeneric(writer, GENL_ID_CTRL, flags, sequence, CTRL_CMD_GETFAMILY, 1)
        familyTable.encode(writer, { name })
        writer.endMessage(start)
      },
    },
    (bytes, view, offset, end) =>
      familyTable.decode(bytes, view, offset + GENL_HDRLEN, end) as Decoded<typeof familyTable>,
    options,
  )
  const [description] = replies
  // The kernel answers a request of type 0 with success and does nothing: a number below the controller's is no family.
  if (description === undefined || description.id < GENL_ID_CTRL) {
    throw new MalformedMessageError(`no number for family ${name}`, 0)
  }
  return description
}
