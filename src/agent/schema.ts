/**
 * What a configuration may hold, as values: each field knows what it takes. Whatever is wrong is told at once, with its path; a
 * name that is unknown is an error, for what nobody reads has no effect. Pure.
 */
import { isObject } from '../model/reading.js'
import { formatPath } from '../sources/manifest.js'
import { netnsOfText } from '../net/namespace.js'
import { parseAddress } from '../address/index.js'
import { isValidationError } from '../errors/index.js'
import type { Netns } from '../net/index.js'

/** Something that is not as it should be. */
export interface FieldProblem {
  /** `health.checks[0].protocol`. */
  readonly path: string
  /** In words. */
  readonly message: string
}

/** A field: what it takes, and what it is read as. */
export interface Field<T> {
  /** As documentation calls what it takes. */
  readonly expected: string
  /** What stands in it, by name; of fields that hold others. */
  readonly fields?: Fields | undefined
  /** What each of a list is. */
  readonly of?: Field<unknown> | undefined
  read(value: unknown, path: string, problems: FieldProblem[]): T | undefined
}
export type Fields = Readonly<Record<string, Field<unknown>>>
export type ValueOf<F> = F extends Field<infer T> ? T : never

/** An object, of which everything may be left out. */
export function object<F extends Fields>(
  fields: F,
): Field<{ readonly [K in keyof F]?: ValueOf<F[K]> | undefined }> {
  const expected = 'an object'
  return {
    expected,
    fields,
    read(value, path, problems) {
      if (!isObject(value)) return refuse(problems, path, value, expected)
      const read: Record<string, unknown> = {}
      for (const [name, held] of Object.entries(value)) {
        const field = Object.hasOwn(fields, name) ? fields[name] : undefined
        if (field === undefined) problems.push({ path: join(path, name), message: unknownName(name, fields) })
        // As if it were left out: that is how people comment on what they do not set.
        else if (held !== null && held !== undefined)
          read[name] = field.read(held, join(path, name), problems)
      }
      return read as { readonly [K in keyof F]?: ValueOf<F[K]> }
    },
  }
}

export function list<T>(of: Field<T>): Field<readonly T[]> {
  const expected = `a list: of each ${of.expected}`
  return {
    expected,
    of,
    read(value, path, problems) {
      if (!Array.isArray(value)) return refuse(problems, path, value, expected)
      return value.flatMap((one, index) => {
        const read = of.read(one, `${path}[${index}]`, problems)
        return read === undefined ? [] : [read]
      })
    },
  }
}

/** An object with names of one's own. */
export function map<T>(of: Field<T>): Field<Readonly<Record<string, T>>> {
  const expected = `an object: of each name ${of.expected}`
  return {
    expected,
    read(value, path, problems) {
      if (!isObject(value)) return refuse(problems, path, value, expected)
      const read: [string, T][] = []
      for (const [name, held] of Object.entries(value)) {
        const one = of.read(held, join(path, name), problems)
        if (one !== undefined) read.push([name, one])
      }
      return Object.fromEntries(read)
    },
  }
}

export function text(
  expected: string,
  isIt: (value: string) => boolean = (value) => value !== '',
): Field<string> {
  return simple(expected, (value) => (typeof value === 'string' && isIt(value) ? value : undefined))
}

export function integer(least: number, most: number): Field<number> {
  return simple(`an integer from ${least} to ${most}`, (value) =>
    typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most
      ? value
      : undefined,
  )
}

export const flag: Field<boolean> = simple('true or false', (value) =>
  typeof value === 'boolean' ? value : undefined,
)

export function oneOf<const T extends string>(...values: readonly T[]): Field<T> {
  return simple(values.join(', '), (value) => values.find((one) => one === value))
}

export const address = text('an IPv4 or IPv6 address', (value) => parseAddress(value) !== undefined)

export const namespace: Field<Netns> = simple('the name of a network namespace, or its file', (value) =>
  typeof value === 'string' && value !== '' ? netnsOfText(value) : undefined,
)

/** Something that another part of the library reads: what it throws is told at the path, `root` being what it calls the whole. */
export function judged<T>(expected: string, judge: (value: unknown) => T, root = ''): Field<T> {
  return {
    expected,
    read(value, path, problems) {
      try {
        return judge(value)
      } catch (error) {
        if (!isValidationError(error)) throw error
        const within = error.path.startsWith(`${root}.`) ? error.path.slice(root.length + 1) : error.path
        const at =
          within === '' || within === root ? path : `${path}${within.startsWith('[') ? '' : '.'}${within}`
        return refuse(problems, at, error.value, error.expected)
      }
    },
  }
}

export function simple<T>(expected: string, take: (value: unknown) => T | undefined): Field<T> {
  return {
    expected,
    read(value, path, problems) {
      const taken = take(value)
      return taken === undefined ? refuse(problems, path, value, expected) : taken
    },
  }
}

/** Every path that may be written, for documentation: `health.checks[].protocol`. */
export function pathsOf(field: Field<unknown>, path = ''): string[] {
  const { fields, of } = field
  if (fields !== undefined) {
    return Object.entries(fields).flatMap(([name, one]) => pathsOf(one, join(path, name)))
  }
  if (of?.fields !== undefined || of?.of !== undefined) return pathsOf(of, `${path}[]`)
  return [path]
}

export function refuse(problems: FieldProblem[], path: string, value: unknown, expected: string): undefined {
  problems.push({ path, message: `expected ${expected}, ${whatIs(value)}` })
  return undefined
}

function whatIs(value: unknown): string {
  if (value === undefined) return 'and it is not there'
  const text = (JSON.stringify(value) as string | undefined) ?? typeof value
  return `got ${text.length > 80 ? `${text.slice(0, 80)}…` : text}`
}

function join(path: string, name: string): string {
  const step = formatPath([name])
  return path === '' ? step : step.startsWith('[') ? path + step : `${path}.${step}`
}

function unknownName(name: string, fields: Fields): string {
  const names = Object.keys(fields)
  const close = names.find((one) => one.toLowerCase() === name.toLowerCase() || distance(one, name) <= 2)
  return `there is no field ${JSON.stringify(name)} here${close === undefined ? `: ${names.join(', ')}` : `: ${close} is meant?`}`
}

/** Letters that have to be changed, added or left out. */
function distance(one: string, other: string): number {
  if (Math.abs(one.length - other.length) > 2) return 3
  let row = Array.from({ length: other.length + 1 }, (_, index) => index)
  for (let at = 1; at <= one.length; at++) {
    const next = [at]
    for (let to = 1; to <= other.length; to++) {
      next[to] = Math.min(
        row[to]! + 1,
        next[to - 1]! + 1,
        row[to - 1]! + (one[at - 1] === other[to - 1] ? 0 : 1),
      )
    }
    row = next
  }
  return row[other.length]!
}
