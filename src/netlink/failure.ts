import { isKernelError, KernelError, UnsupportedError } from '../errors/index.js'
import { type Place, placeAtOffset } from './codec.js'
import { type Acknowledgement, viewOf } from './message.js'
import { type NewerPart, newerParts, newestCause } from './newer.js'
import type { FieldsTable } from './types.js'

/** What an error must name: the operation, its object, and where its attributes stand. */
export interface Target {
  /** `ipvs.createDestination`. */
  readonly operation: string
  /** What it is about, as the caller named it. */
  readonly object?: object | undefined
  /** The table of the message's attributes, for the path of one that the kernel points at. */
  readonly table?: FieldsTable | undefined
  /** Bytes before the first attribute, message header included: 20 for generic netlink. */
  readonly headerBytes?: number | undefined
  /** The caller's path of an attribute, where that is not the table's own. */
  readonly pathOf?: ((path: string) => string) | undefined
  /** What to do about an error number, if anything is known. */
  readonly hint?: ((acknowledged: Acknowledgement) => string | undefined) | undefined
}

/**
 * The kernel's refusal, with the path of the attribute at fault if it says where. `message` gives the request. Where that
 * holds what is newer than this kernel, and nothing says that it was refused for something else, it is unsupported.
 */
export function refusalOf(
  acknowledged: Acknowledgement,
  target: Target,
  message: () => Uint8Array,
): KernelError | UnsupportedError {
  const { errno, message: words = '' } = acknowledged
  const { operation, object } = target
  const pathOf = (path: string): string => target.pathOf?.(path) ?? path
  const place = attributeOf(acknowledged, target, message)
  const error = new KernelError({
    errno,
    operation,
    object,
    attribute: place && { ...place, path: pathOf(place.path) },
    kernelMessage: words === '' ? undefined : words,
    hint: target.hint?.(acknowledged),
  })
  // Words without an attribute tell of another reason ("Unknown device type").
  if (words !== '' && place === undefined) return error
  const newer = newestCause(errno, place?.path, () => partsOf(target, message))
  if (newer === undefined) return error
  const value = newer.value === undefined ? '' : ` ${JSON.stringify(newer.value)}`
  const feature = `${operation}: ${pathOf(newer.path)}${value}`
  return new UnsupportedError(feature, `Linux ≥ ${newer.since}`, { cause: error })
}

function partsOf({ table, headerBytes }: Target, message: () => Uint8Array): NewerPart[] {
  if (table === undefined || headerBytes === undefined) return []
  try {
    const bytes = message()
    return newerParts(table, bytes, viewOf(bytes), headerBytes, bytes.length)
  } catch {
    return []
  }
}

function attributeOf(
  { offset, missing, missingIn }: Acknowledgement,
  { table, headerBytes }: Target,
  message: () => Uint8Array,
): { path: string; offset: number } | undefined {
  if (table === undefined || headerBytes === undefined) return undefined
  const placeAt = (at: number): Place | undefined => {
    const bytes = message()
    return placeAtOffset(table, bytes, viewOf(bytes), headerBytes, bytes.length, at)
  }
  try {
    if (offset !== undefined) {
      const place = placeAt(offset)
      return place && { path: place.path, offset }
    }
    if (missing === undefined) return undefined
    const nest = missingIn === undefined ? undefined : placeAt(missingIn)
    const key = (missingIn === undefined ? table : nest?.fields)?.byNumber.get(missing)?.key
    if (key === undefined) return undefined
    return { path: nest === undefined ? key : `${nest.path}.${key}`, offset: missingIn ?? 0 }
  } catch {
    return undefined
  }
}

/** What helps against EPERM, where a network namespace is what is asked for. */
export const permissionHint = 'Needs CAP_NET_ADMIN in the user namespace that owns the network namespace'

/** The answer was dropped by a full receive buffer: the change may have been applied. */
export function replyLost(target: Target): KernelError {
  return new KernelError({
    errno: -105,
    operation: target.operation,
    object: target.object,
    kernelMessage: 'the reply was lost, so whether it was applied is unknown',
    hint: 'Read the object back',
  })
}

/** Its turn did not come within the deadline: it stood behind earlier requests, and nothing of it was sent. */
export class TurnMissed extends Error {
  readonly errno = -110
  readonly code = 'ETIMEDOUT'

  constructor() {
    super('earlier requests took longer than the deadline; it was not sent')
  }
}

/** An error of the socket itself, told with what was being tried. Anything that is not one is passed on. */
export function transportError(error: unknown, target: Target): unknown {
  if (isKernelError(error)) return error
  const { errno, code, syscall } = (error ?? {}) as { errno?: unknown; code?: unknown; syscall?: unknown }
  if (typeof errno !== 'number' || typeof code !== 'string') return error
  return new KernelError({
    errno,
    operation: target.operation,
    object: target.object,
    kernelMessage:
      error instanceof TurnMissed
        ? error.message
        : `${typeof syscall === 'string' ? `${syscall}: ` : ''}${socketTrouble[code] ?? code}`,
    cause: error,
  })
}

const socketTrouble: Readonly<Record<string, string>> = {
  ETIMEDOUT: 'no answer within the deadline; whether it was applied is unknown',
  EBADF: 'the socket is closed',
  ECANCELED: 'the socket was closed while the request was under way',
  EMSGSIZE: 'the request is larger than the socket sends at once',
  EPERM: 'not permitted',
}
