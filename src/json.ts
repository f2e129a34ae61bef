/**
 * JSON of anything that this library returns: `JSON.stringify` throws at a bigint and writes bytes as an object.
 *
 * A bigint is written as a decimal string, whatever its size, so that a counter has the same type before and after it
 * passes 2^53; bytes as hexadecimal digits; an error with its name, message and fields.
 *
 * @param value what to write
 * @param space as of `JSON.stringify`: spaces or text to indent with
 * @returns the text, or `'null'` for what JSON cannot say (undefined, a function)
 */
export function toJson(value: unknown, space?: number | string): string {
  // A method with `this`: JSON.stringify has called `toJSON` on `value` already, and `this[key]` is what it was before.
  // What it returns for undefined is no string, whatever its type says.
  const written = JSON.stringify(
    value,
    function (this: Record<string, unknown>, key, after: unknown) {
      const before = this[key]
      if (typeof before === 'bigint') return before.toString()
      if (before instanceof Uint8Array)
        return Buffer.from(before.buffer, before.byteOffset, before.length).toString('hex')
      if (before instanceof Error)
        return Object.assign({}, { name: before.name, message: before.message }, before)
      return after
    },
    space,
  ) as string | undefined
  return written ?? 'null'
}
