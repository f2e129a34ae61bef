import { MalformedMessageError, ValidationError } from '../errors/index.js'
import { type AttributeType, InvalidValue, isObject } from './types.js'
import type { Writer } from './writer.js'

/**
 * C structures of fixed size: what stands between a message's header and its attributes (`struct ifinfomsg`), and
 * what some attributes hold (`struct ifa_cacheinfo`). Declared as a table; written, read and tested from it.
 */
export interface Structure<F extends Layout> extends AttributeType<StructureInput<F>, StructureValue<F>> {
  /** `sizeof`. */
  readonly bytes: number
  /** The members, by our names for them. */
  readonly layout: F
}

/** A member of a structure. */
export interface Field<In = never, Out = unknown> {
  /** `offsetof`. */
  readonly offset: number
  /** The member's name in the header. */
  readonly member: string
  /** How it is written and read. */
  readonly type: AttributeType<In, Out>
}
/** The members of a structure, by our names for them. */
export type Layout = Readonly<Record<string, Field>>

/** What a member takes. */
export type FieldIn<F> = F extends { readonly type: AttributeType<infer In, infer _> } ? In : never
/** What a member holds. */
export type FieldOut<F> = F extends { readonly type: AttributeType<infer _, infer Out> } ? Out : never

/** What is left out is zero. */
export type StructureInput<F extends Layout> = { readonly [K in keyof F]?: FieldIn<F[K]> | undefined }
/** What is read of a structure. */
export type StructureValue<F extends Layout> = { readonly [K in keyof F]: FieldOut<F[K]> }

/** A member: where it stands, what the header calls it, how it is written and read. */
export function field<In, Out>(offset: number, member: string, type: AttributeType<In, Out>): Field<In, Out> {
  return { offset, member, type }
}

/** `structure('struct rtmsg', 12, { … })`. Bytes between the fields are zero. */
export function structure<const F extends Layout>(name: string, bytes: number, layout: F): Structure<F> {
  const fields = Object.entries(layout).sort(([, a], [, b]) => a.offset - b.offset)
  return {
    name,
    bytes,
    layout,
    expected: 'an object',
    write(writer, value) {
      if (!isObject(value)) throw new InvalidValue('an object')
      const start = reserved(writer, bytes)
      for (const [key, { offset, type }] of fields) {
        const given = (value as Record<string, unknown>)[key]
        if (given === undefined) continue
        writer.length = start + offset
        try {
          type.write(writer, given as never, value)
        } catch (error) {
          throw error instanceof InvalidValue ? new ValidationError(key, given, error.expected) : error
        }
      }
      writer.length = start + bytes
    },
    read(source, view, offset, length) {
      if (length < bytes) throw new MalformedMessageError(`${name} of ${length} bytes`, offset)
      const value: Record<string, unknown> = {}
      for (const [index, [key, { offset: from, type }]] of fields.entries()) {
        const next = fields[index + 1]?.[1].offset ?? bytes
        value[key] = type.read(source, view, offset + from, next - from, value)
      }
      return value as StructureValue<F>
    },
  }
}

/** Room for a structure, zeroed: the writer's buffer holds what was written before. */
function reserved(writer: Writer, bytes: number): number {
  writer.reserve(bytes)
  const start = writer.length
  writer.bytes.fill(0, start, start + bytes)
  return start
}
