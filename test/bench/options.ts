/** What a benchmark is asked by its command line: the same in every one, but for what each counts. */
import { parseArgs } from 'node:util'

/** A whole number from 1 on. */
export interface Count {
  /** Unless said. */
  readonly usual: number
  readonly most: number
}

/** What it takes beside those that every one does. */
export type Kinds = Readonly<Record<string, Count | 'flag'>>

export type Print = 'text' | 'json' | 'markdown'

/** As it was asked. */
export type Asked<Of extends Kinds> = {
  readonly [Name in keyof Of]: Of[Name] extends Count ? number : boolean
} & {
  readonly print: Print
  /** How often each figure is measured. */
  readonly runs: number
}

const runs: Count = { usual: 5, most: 100 }

/** @throws Error, with what is wrong */
export function askedOf<Of extends Kinds>(args: readonly string[], kinds: Of): Asked<Of> {
  const all: Kinds = { json: 'flag', markdown: 'flag', runs, ...kinds }
  const names = Object.entries(all)
  const { values } = parseArgs({
    args: [...args],
    options: Object.fromEntries(
      names.map(([name, kind]) => [name, { type: kind === 'flag' ? 'boolean' : 'string' } as const]),
    ),
  })
  const { json, markdown, ...asked } = Object.fromEntries(
    names.map(([name, kind]) => [
      name,
      kind === 'flag' ? values[name] === true : countOf(name, values[name] ?? kind.usual, kind.most),
    ]),
  )
  if (json === true && markdown === true) throw new Error('--json or --markdown')
  const print: Print = json === true ? 'json' : markdown === true ? 'markdown' : 'text'
  return { ...asked, print } as unknown as Asked<Of>
}

function countOf(name: string, given: unknown, most: number): number {
  const value = Number(given)
  if (Number.isInteger(value) && value >= 1 && value <= most) return value
  throw new Error(`--${name} takes a number from 1 to ${most}`)
}

/** One line. */
export function usageOf(name: string, kinds: Kinds): string {
  const own = Object.entries(kinds).map(([option, kind]) => `[--${option}${kind === 'flag' ? '' : ' N'}]`)
  return ['Usage: npm run bench --', name, '[--json | --markdown] [--runs N]', ...own].join(' ')
}
