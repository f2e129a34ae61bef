/** Debian's ipvsadm and ours, doing the same: commands in a namespace each, lists of one and the same state. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import type { Test } from 'tap'
import { run } from '../../../src/cli/ipvsadm/index.js'
import type { Host } from '../../../src/testing/index.js'

export interface Outcome {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

/** A command line by its words; with standard input for `-R`. */
export type Line = string | { readonly line: string; readonly input: string }

const wordsOf = (line: Line): string[] =>
  (typeof line === 'string' ? line : line.line).split(' ').filter((word) => word !== '')
const inputOf = (line: Line): string => (typeof line === 'string' ? '' : line.input)

/** Ours, in this process. */
export async function ours(host: Host, line: Line): Promise<Outcome> {
  const decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() }
  const text = { stdout: '', stderr: '' }
  const sink = (name: 'stdout' | 'stderr') => ({
    write(chunk: Uint8Array | string, done: () => void) {
      text[name] += typeof chunk === 'string' ? chunk : decoders[name].decode(chunk, { stream: true })
      done()
    },
  })
  async function* input(): AsyncGenerator<string> {
    yield inputOf(line)
  }
  const streams = { stdin: input(), stdout: sink('stdout'), stderr: sink('stderr') }
  const exitCode = await run(wordsOf(line), streams, { netns: host.netns })
  return { exitCode, ...text }
}

const shells = new Map<Host, Shell>()

/** Debian's, one after the other. */
export function theirs(host: Host, lines: readonly Line[]): Promise<Outcome[]> {
  let shell = shells.get(host)
  if (shell === undefined) shells.set(host, (shell = new Shell(host)))
  return shell.run(lines)
}

/** To be called at the end of a test that used `theirs`. */
export async function endTheirs(): Promise<void> {
  const open = [...shells.values()]
  shells.clear()
  for (const shell of open) await shell.close()
}

/**
 * A shell in a host's namespace that stays: starting processes is what takes time in the lab, and most when it is Node
 * that starts them.
 */
class Shell {
  readonly #process: ChildProcessWithoutNullStreams
  readonly #answers: AsyncIterator<string>
  #folder: string | undefined

  constructor(host: Host) {
    this.#process = spawn('nsenter', [`--net=/proc/${process.pid}/fd/${host.netns.fd}`, 'sh'])
    this.#answers = createInterface(this.#process.stdout)[Symbol.asyncIterator]()
  }

  async run(lines: readonly Line[]): Promise<Outcome[]> {
    const folder = (this.#folder ??= await mkdtemp(path.join(tmpdir(), 'ipvsadm-')))
    const file = (index: number, what: string): string => path.join(folder, `${index}.${what}`)
    let script = ''
    for (const [index, line] of lines.entries()) {
      if (inputOf(line) !== '') await writeFile(file(index, 'in'), inputOf(line))
      const words = wordsOf(line).map((word) => `'${word.replaceAll("'", "'\\''")}'`)
      const input = inputOf(line) === '' ? '/dev/null' : file(index, 'in')
      script += `ipvsadm ${words.join(' ')} <${input} >${file(index, 'out')} 2>${file(index, 'err')}; echo $?\n`
    }
    this.#process.stdin.write(script)
    const outcomes: Outcome[] = []
    for (const index of lines.keys()) {
      const { value, done } = await this.#answers.next()
      if (done === true) throw new Error('the shell has ended')
      outcomes.push({
        exitCode: Number(value),
        stdout: await readFile(file(index, 'out'), 'utf8'),
        stderr: await readFile(file(index, 'err'), 'utf8'),
      })
    }
    return outcomes
  }

  async close(): Promise<void> {
    this.#process.stdin.end()
    await once(this.#process, 'close')
    if (this.#folder !== undefined) await rm(this.#folder, { recursive: true })
  }
}

/** What is in a namespace, as a text that is another for each state. */
export async function stateOf(host: Host): Promise<string> {
  const parts = await Promise.all(['-Sn', '-L --timeout', '-L --daemon'].map((line) => ours(host, line)))
  return parts.flatMap(sorted).join('\n')
}

/** All kinds of lists, as far as two calls after each other can show the same. */
const lists: readonly Line[] = [
  '-Sn',
  '-S',
  '-Ln --tun-info',
  '-L',
  '-Ln --thresholds',
  '-l -n --nosort',
  '-Ln --stats',
  '',
  '-Ln --persistent-conn',
  '-L --stats --exact --nosort',
  '-Ln --rate',
  '-L --timeout',
  '-Lcn',
]
const groupSize = 4
let turn = 0

/**
 * Does these commands with Debian's in one namespace and with ours in another. Each ends alike, and after each two lists
 * of ours are compared with Debian's, on the state that ours made; after a group, what Debian's and ours
 * left behind. Resolves to the state after each of them. Starting a process takes a tenth of a second under emulation, hence the groups and turns.
 */
export async function sameStates(
  t: Test,
  debian: Host,
  viaduct: Host,
  lines: readonly Line[],
): Promise<string[]> {
  const states: string[] = []
  const left: readonly Line[] = ['-Sn', '-Ln --thresholds', '-L --timeout']
  for (let from = 0; from < lines.length; from += groupSize) {
    const group = lines.slice(from, from + groupSize)
    const outcomes = await theirs(debian, [...group, ...left])
    for (const [index, line] of group.entries()) {
      const name = wordsOf(line).join(' ')
      t.strictSame(await ours(viaduct, line), outcomes[index], `${name}: exit code and messages`)
      states.push(await stateOf(viaduct))
      await sameLists(t, viaduct, name, ['-Ln', lists[turn++ % lists.length]!])
    }
    const found = await theirs(viaduct, left)
    for (const [index, line] of left.entries()) {
      const expected = outcomes[group.length + index]!
      t.strictSame(
        sorted(found[index]!),
        sorted(expected),
        `${wordsOf(line).join(' ')} of what is left behind`,
      )
    }
  }
  await sameLists(t, viaduct, 'in the end', ['-Ln', ...lists])
  return states
}

/** These lists, of one state. */
export async function sameLists(t: Test, host: Host, name: string, lists: readonly Line[]): Promise<void> {
  const expected = await theirs(host, lists)
  for (const [index, list] of lists.entries()) {
    const found = await ours(host, list)
    const isRules = /^(-S|--save)/.test(wordsOf(list).join(' '))
    const outcome = isRules ? { ...found, stdout: debianRules(found.stdout) } : found
    t.strictSame(outcome, expected[index], `${name}: ${wordsOf(list).join(' ')}`)
  }
}

/** By lines: the order in which the kernel has services is another in each namespace, and shows where sorting fails. */
function sorted({ stdout }: Outcome): string[] {
  return stdout.split('\n').sort()
}

/** What ours writes better than Debian's, as that writes it: thresholds, marks from 2^31 on, the third flag of sh. */
export function debianRules(text: string): string {
  return text
    .replace(/ -[xy] \d+/g, '')
    .replace(/ -f (\d+)/g, (_, mark: string) => ` -f ${Number(mark) | 0}`)
    .replace(/(-s [sm]h .*-b (?:.*[^,])?),?flag-3$/gm, '$1')
}
