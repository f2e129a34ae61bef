/** Commands run within this process, with what they print in memory. */
import type { Streams } from '../../../src/cli/streams.js'

export interface Outcome {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

/** Streams whose texts `printed` gets as they come. */
export function streamsTo(printed: (where: 'stdout' | 'stderr', text: string) => void): Streams {
  const sink = (where: 'stdout' | 'stderr'): Streams['stdout'] => ({
    write(chunk, done) {
      printed(where, typeof chunk === 'string' ? chunk : new TextDecoder().decode(chunk))
      done()
    },
  })
  async function* nothing(): AsyncGenerator<string> {
    // No input.
  }
  return { stdin: nothing(), stdout: sink('stdout'), stderr: sink('stderr') }
}

/** What a command prints, and how it ends. */
export async function outcomeOf(work: (streams: Streams) => Promise<number>): Promise<Outcome> {
  const told = { stdout: '', stderr: '' }
  const exitCode = await work(streamsTo((where, text) => (told[where] += text)))
  return { exitCode, ...told }
}
