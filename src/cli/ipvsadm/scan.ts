/**
 * Reads arguments as popt does, which ipvsadm is built with: `-Ln`, `-At 192.0.2.1:80`, `-t192.0.2.1:80`,
 * `-t=192.0.2.1:80`, `--tcp-service=192.0.2.1:80`; `-p` takes the next argument unless that begins with a hyphen;
 * arguments that are no options may stand anywhere; after `--` nothing is an option.
 */
import { type OptionRow, optionRows } from './options.js'

export type Complaint = 'unknown option' | 'missing argument' | 'option does not take an argument'

export interface Scanned {
  readonly option: OptionRow
  /** Undefined where it takes none, or an optional one was left out. */
  readonly argument: string | undefined
}

const byLong = new Map(optionRows.map((row) => [row.long, row]))
const byShort = new Map(optionRows.flatMap((row) => (row.short === undefined ? [] : [[row.short, row]])))

export class Scanner {
  readonly #argv: readonly string[]
  #next = 0
  /** What is left of a group such as `-Ln`. */
  #group = ''
  #onlyRest = false
  /** Arguments that are no options. */
  readonly rest: string[] = []

  constructor(argv: readonly string[]) {
    this.#argv = argv
  }

  /** The argument that was read last, as a message shows it: of a group all of it. */
  get element(): string {
    return this.#argv[this.#next - 1] ?? ''
  }

  /** The next option; what is wrong with it; undefined when there are no more. */
  next(): Scanned | Complaint | undefined {
    if (this.#group !== '') return this.#short()
    while (this.#next < this.#argv.length) {
      const element = this.#argv[this.#next++]!
      if (this.#onlyRest || !element.startsWith('-') || element === '-') this.rest.push(element)
      else if (element === '--') this.#onlyRest = true
      else if (element.startsWith('--')) return this.#long(element)
      else {
        this.#group = element.slice(1)
        return this.#short()
      }
    }
    return undefined
  }

  #long(element: string): Scanned | Complaint {
    const equals = element.indexOf('=')
    const option = byLong.get(equals < 0 ? element.slice(2) : element.slice(2, equals))
    if (option === undefined) return 'unknown option'
    const given = equals < 0 ? undefined : element.slice(equals + 1)
    if (option.argument === 'none') {
      return given === undefined ? { option, argument: undefined } : 'option does not take an argument'
    }
    return given === undefined ? this.#withArgument(option) : { option, argument: given }
  }

  #short(): Scanned | Complaint {
    const option = byShort.get(this.#group[0]!)
    const behind = this.#group.slice(1)
    this.#group = ''
    if (option === undefined) return 'unknown option'
    if (option.argument === 'none') {
      if (behind.startsWith('=')) return 'option does not take an argument'
      this.#group = behind
      return { option, argument: undefined }
    }
    if (behind !== '') return { option, argument: behind.startsWith('=') ? behind.slice(1) : behind }
    return this.#withArgument(option)
  }

  #withArgument(option: OptionRow): Scanned | Complaint {
    const following = this.#argv[this.#next]
    if (option.argument === 'optional' && (following === undefined || following.startsWith('-'))) {
      return { option, argument: undefined }
    }
    if (following === undefined) return 'missing argument'
    this.#next++
    return { option, argument: following }
  }
}
