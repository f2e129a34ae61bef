/** The programs that stand beside ours: the C program, nft, conntrack, a Go and a Python library's. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { deadlineMilliseconds, type Place, root, run, Turns, within, WorkerProcess } from '../processes.js'
import type { WorkerAnswer } from '../serve.js'
import type { Size } from './ruleset.js'
import type { Case, Task } from './worker.js'

/** Debian's packages of all of them. */
export const packages = [
  'gcc',
  'util-linux',
  'nftables',
  'conntrack',
  'golang-go',
  'golang-github-google-nftables-dev',
  'python3-pyroute2',
] as const

/** Debian's library, with what it needs from there, too: nothing is downloaded. */
export async function buildGo(program: string): Promise<void> {
  const env = {
    ...process.env,
    GOPATH: '/usr/share/gocode',
    GO111MODULE: 'off',
    GOCACHE: `${root}.cache/go`,
  }
  await run('go', ['build', '-o', program, `${root}test/bench/nftables/peer.go`], { env })
}

/** Debian's Python, for that has Debian's library. */
export const python = ['/usr/bin/python3', `${root}test/bench/nftables/peer.py`] as const

export interface PeerAnswer {
  readonly nanoseconds: number
  readonly errors: number
  /** Of `run`: the most memory that it had. */
  readonly kilobytes?: number
  /** Of `delete`. */
  readonly flows?: number
}

/** Runs it to its end; throws when anything of what it did failed, because then its time means nothing. */
export async function peer(netns: Place, command: readonly string[]): Promise<PeerAnswer> {
  const { stdout, stderr } = await run(...within(netns, command), { timeout: deadlineMilliseconds })
  const answer = JSON.parse(stdout) as PeerAnswer
  if (answer.errors > 0) throw new Error(`void: ${answer.errors} errors in ${command.join(' ')}: ${stderr}`)
  return answer
}

export interface Ran {
  readonly seconds: number
  readonly megabytes: number
}

/** A program from its start to its end; what it prints goes to a file. */
export async function program(
  peerProgram: string,
  netns: Place,
  command: readonly string[],
  output = '/dev/null',
): Promise<Ran> {
  const { nanoseconds, kilobytes } = await peer(netns, [peerProgram, 'run', output, ...command])
  return { seconds: nanoseconds / 1e9, megabytes: kilobytes! / 1024 }
}

/** The same of one that prints what each of its requests took. */
export async function timesOf(
  peerProgram: string,
  netns: Place,
  command: readonly string[],
  output: string,
): Promise<readonly number[]> {
  await program(peerProgram, netns, command, output)
  return (JSON.parse(readFileSync(output, 'utf8')) as Times).nanoseconds
}

interface Times {
  readonly nanoseconds: readonly number[]
}

/** `peer exchange`. */
export class PeerExchange extends Turns<Times & { readonly errors: number }> {
  constructor(peerProgram: string, file: string, netns: Place) {
    super(within(netns, [peerProgram, 'exchange', file]))
  }

  /** Nanoseconds for each of so many exchanges. */
  async exchange(count: number): Promise<readonly number[]> {
    const { nanoseconds, errors } = await this.turn(String(count))
    if (errors > 0) throw new Error(`void: ${errors} errors in an exchange of the C program`)
    return nanoseconds
  }
}

/** One of our cases. */
export class Worker extends WorkerProcess<Task, WorkerAnswer & Partial<Times>> {
  constructor(name: Case, size: Size) {
    super(new URL('worker.js', import.meta.url), [name, JSON.stringify(size)])
  }
}

/** A program with our library, for `program`. */
export function coldCommand(netns: Place, size: Size, what: 'load' | 'read', layout: string): string[] {
  const file = fileURLToPath(new URL('cold.js', import.meta.url))
  return [process.execPath, file, netns.path, JSON.stringify(size), what, layout]
}
