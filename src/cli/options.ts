/** Options by rows: what is read, what help says of it, and what a message calls it have one source. */
import { parseArgs } from 'node:util'
import { exitRefused, exitUsage, UsageError } from './exit.js'

/** An option. */
export interface OptionRow {
  /** Without its hyphens. */
  readonly name: string
  /** Other long names of the same. */
  readonly also?: readonly string[] | undefined
  readonly short?: string | undefined
  /** What help calls its value; left out for a switch. */
  readonly value?: string | undefined
  /** It may be given several times. */
  readonly isList?: boolean | undefined
  readonly help: string
}

/** What was given. */
export interface Given {
  /** Of a switch, the value is empty. */
  readonly options: ReadonlyMap<string, string>
  /** Of those that may be given several times. */
  readonly lists: ReadonlyMap<string, readonly string[]>
  /** What is no option. */
  readonly words: readonly string[]
}

/** What every command takes. */
export const commonOptions: readonly OptionRow[] = [
  { name: 'json', help: 'one JSON object a line: bytes are hexadecimal, 64-bit counters decimal strings' },
  { name: 'netns', value: 'NAME|FILE', help: 'the network namespace, as before the command' },
  { name: 'help', short: 'h', help: 'prints this' },
]

/** @throws UsageError for what no row has, a value that is missing, and an option that is given twice. */
export function readOptions(argv: readonly string[], rows: readonly OptionRow[]): Given {
  const byName = new Map(rows.flatMap((row) => [row.name, ...(row.also ?? [])].map((name) => [name, row])))
  const config = [...byName].map(([name, { value, short, name: first }]) => [
    name,
    {
      type: value === undefined ? ('boolean' as const) : ('string' as const),
      multiple: true,
      ...(short !== undefined && name === first ? { short } : {}),
    },
  ])
  const { tokens } = parsed(argv, Object.fromEntries(config) as Parameters<typeof parsed>[1])
  const options = new Map<string, string>()
  const lists = new Map<string, string[]>()
  const words: string[] = []
  for (const token of tokens) {
    if (token.kind === 'positional') words.push(token.value)
    if (token.kind !== 'option') continue
    const { name, isList } = byName.get(token.name)!
    if (isList === true) {
      lists.set(name, [...(lists.get(name) ?? []), token.value ?? ''])
      continue
    }
    if (options.has(name)) throw new UsageError(`--${name} is given twice`, exitUsage)
    options.set(name, token.value ?? '')
  }
  return { options, lists, words }
}

type Config = NonNullable<Parameters<typeof parseArgs>[0]>['options']

function parsed(argv: readonly string[], options: NonNullable<Config>) {
  try {
    return parseArgs({ args: [...argv], options, allowPositionals: true, tokens: true })
  } catch (error) {
    const { code, message } = error as Error & { readonly code?: string }
    if (code?.startsWith('ERR_PARSE_ARGS_') !== true) throw error
    // Node adds advice about arguments that begin with a hyphen.
    const what = message.split(/\. |\n/, 1)[0]!.replace(/\.$/, '')
    if (code !== 'ERR_PARSE_ARGS_UNKNOWN_OPTION') throw new UsageError(what, exitUsage)
    throw new UsageError(`${what}: --help lists them`, exitRefused)
  }
}

const column = 34

/** Lines of help, one for each. */
export function helpOf(rows: readonly OptionRow[]): string {
  return rows
    .map(({ name, also = [], short, value, help }) => {
      const left = `  ${short === undefined ? '' : `-${short}, `}--${name}${value === undefined ? '' : ` ${value}`}`
      const others = also.length === 0 ? '' : ` (also --${also.join(', --')})`
      return `${left.padEnd(column)}${left.length >= column ? ' ' : ''}${help}${others}\n`
    })
    .join('')
}
