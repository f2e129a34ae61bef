/** What the kernel sends: which object it is of, and that object. */
import { readHeader, NFGENMSG_BYTES, subsystem } from '../nfnetlink/index.js'
import { familyOfNumber } from './hooks.js'
import { type KindName, kinds, type Outputs } from './kinds.js'

/** An object that was read. */
export interface ReadObject<K extends KindName = KindName> {
  /** What it is. */
  readonly kind: K
  /** As the kernel has it. */
  readonly object: Outputs[K]
  /** It was deleted (of events). */
  readonly isGone: boolean
}

const byMessage = new Map<number, readonly [kind: KindName, isGone: boolean]>()
for (const [name, { messages }] of Object.entries(kinds)) {
  byMessage.set(messages.new, [name as KindName, false])
  byMessage.set(messages.delete, [name as KindName, true])
  byMessage.set(messages.destroy, [name as KindName, true])
}

/** Undefined for what is no object: a generation, a trace, another subsystem's. */
export function readObject(
  bytes: Uint8Array,
  view: DataView,
  offset: number,
  end: number,
  type: number,
): ReadObject | undefined {
  if (type >> 8 !== subsystem.nftables) return undefined
  const found = byMessage.get(type & 0xff)
  if (found === undefined) return undefined
  const [kind, isGone] = found
  const { family } = readHeader(view, offset)
  const record = kinds[kind].table.decode(bytes, view, offset + NFGENMSG_BYTES, end)
  return { kind, object: kinds[kind].read(familyOfNumber(family), record), isGone }
}
