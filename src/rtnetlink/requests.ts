import { isKernelError, isValidationError, KernelError, ValidationError } from '../errors/index.js'
import {
  type Acknowledgement,
  type AttributeTable,
  type CallOptions,
  type Connection,
  type Layout,
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REPLACE,
  NLMSG_HDRLEN,
  permissionHint,
  type ReadReply,
  type Request,
  type Structure,
  type StructureInput,
} from '../netlink/index.js'
import { linkHeader } from './headers.js'
import { link, message } from './wire.js'

/** A link by its name, or by its index. */
export type Device = string | number

/** One rtnetlink message: what it is, its fixed header and its attributes. */
export interface RouteMessage<F extends Layout = Layout> {
  readonly operation: string
  /** As the caller named it, for errors. */
  readonly object: object | undefined
  /** RTM_*. */
  readonly type: number
  readonly flags?: number | undefined
  readonly header: Structure<F>
  readonly head: StructureInput<F>
  readonly table: AttributeTable
  readonly record: object
  /** What an error's path begins with. */
  readonly path: string
  /** Where the caller's input is flatter than the wire: the path that the caller knows. */
  readonly callersPath?: ((path: string) => string) | undefined
  readonly hint?: ((acknowledged: Acknowledgement) => string | undefined) | undefined
}

/** It must not exist yet. */
export const createOnly = NLM_F_CREATE | NLM_F_EXCL
/** It is made, or put in the place of what is there. */
export const createOrReplace = NLM_F_CREATE | NLM_F_REPLACE

const EPERM = -1

/** Sends rtnetlink messages: what links, addresses and routes have in common. */
export class Requests {
  readonly #connection: Connection

  constructor(connection: Connection) {
    this.#connection = connection
  }

  execute<F extends Layout>(sent: RouteMessage<F>, options?: CallOptions): Promise<void> {
    return this.#connection.execute(requestOf(sent), options)
  }

  query<F extends Layout, T>(sent: RouteMessage<F>, read: ReadReply<T>, options?: CallOptions): Promise<T[]> {
    return this.#connection.query(requestOf(sent), read, options)
  }

  dump<F extends Layout, T>(sent: RouteMessage<F>, read: ReadReply<T>, options?: CallOptions): Promise<T[]> {
    return this.#connection.dump(requestOf(sent), read, options)
  }

  /** The index of a link, which the caller gave at `path`. Throws ENODEV, as the operation that it is needed for. */
  async index(device: Device, path: string, operation: string, options?: CallOptions): Promise<number> {
    if (typeof device !== 'string') return checkedIndex(device, path)
    const found = await this.query(
      {
        operation,
        object: { device },
        type: message.getLink,
        header: linkHeader,
        head: {},
        table: link,
        record: { name: device, extendedMask: ['skip-statistics'] },
        path,
        callersPath: () => path,
      },
      (bytes, view, offset, end, type) =>
        type === message.newLink ? linkHeader.read(bytes, view, offset, end - offset, {}).index : undefined,
      options,
    )
    if (found[0] === undefined) throw new KernelError({ errno: -19, operation, object: { device } })
    return found[0]
  }
}

/** The kernel takes index 0 for none given, and a group beside it for every link of the group (rtnl_newlink). */
export function checkedIndex(device: number, path: string): number {
  if (Number.isInteger(device) && device >= 1 && device <= 0x7fff_ffff) return device
  throw new ValidationError(path, device, "a link's name, or its index from 1")
}

function requestOf<F extends Layout>(sent: RouteMessage<F>): Request {
  const { type, flags = 0, header, head, table, record, path, callersPath = (known: string) => known } = sent
  return {
    operation: sent.operation,
    object: sent.object,
    table,
    headerBytes: NLMSG_HDRLEN + header.bytes,
    pathOf: (inner) => callersPath(`${path}.${inner}`),
    hint: (acknowledged) => sent.hint?.(acknowledged) ?? generalHint(acknowledged),
    write(writer, more, sequence) {
      const start = writer.beginMessage(type, flags | more, sequence)
      try {
        header.write(writer, head, {})
      } catch (error) {
        throw isValidationError(error) ? relocated(error, `${path}.${error.path}`) : error
      }
      try {
        table.encode(writer, record, path)
      } catch (error) {
        throw isValidationError(error) ? relocated(error, callersPath(error.path)) : error
      }
      writer.endMessage(start)
    },
  }
}

function relocated({ value, expected }: ValidationError, path: string): ValidationError {
  return new ValidationError(path, value, expected)
}

function generalHint({ errno }: Acknowledgement): string | undefined {
  if (errno !== EPERM) return undefined
  return permissionHint
}

/** The result, or undefined where the kernel has no such object. */
export async function unlessAbsent<T>(found: Promise<T>, code: string): Promise<T | undefined> {
  try {
    return await found
  } catch (error) {
    if (isKernelError(error, code)) return undefined
    throw error
  }
}

/** Reads the messages of one type. */
export function ofType<T>(
  wanted: number,
  read: (bytes: Uint8Array, view: DataView, offset: number, end: number) => T | undefined,
): ReadReply<T> {
  return (bytes, view, offset, end, type) => (type === wanted ? read(bytes, view, offset, end) : undefined)
}
