/** traffic.c: servers and a load that keep their rate also where JavaScript runs thirty times slower. */
import { type ChildProcessWithoutNullStreams, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Host } from '../../src/testing/index.js'

export interface Load {
  /** In the order of the answers; `startedAt` is of the wall clock. */
  readonly answers: readonly { readonly server: string; readonly startedAt: number }[]
  readonly failures: readonly string[]
  readonly bySecond: number
}

export interface RunningLoad {
  /** Resolves when that many more connections have been answered, or failed. */
  answered(more: number): Promise<void>
  stop(): Promise<Load>
}

/** Compiles traffic.c into a folder of its own; closing ends everything that was started and removes it. */
export class Traffic {
  readonly #folder: string
  readonly #running = new Set<ChildProcessWithoutNullStreams>()

  private constructor(folder: string) {
    this.#folder = folder
  }

  static async compile(): Promise<Traffic> {
    const folder = await mkdtemp(path.join(tmpdir(), 'traffic-'))
    const source = fileURLToPath(new URL('../../../test/lab/traffic.c', import.meta.url))
    await promisify(execFile)('cc', ['-O1', '-Wall', '-Werror', '-o', path.join(folder, 'traffic'), source])
    return new Traffic(folder)
  }

  /** A server on a host that says the host's name, and says it again for whatever it is sent. */
  async serve(host: Host, port: number): Promise<void> {
    const child = this.#start(host, ['serve', host.name, String(port)])
    const [first] = (await once(child.stdout, 'data', { signal: AbortSignal.timeout(20_000) })) as [Buffer]
    if (first.toString() !== 'ready\n') throw new Error(`traffic: ${first.toString()}`)
  }

  /** New connections, at most `rate` a second, until stopped. */
  load(host: Host, address: string, port: number, rate: number): RunningLoad {
    const start = performance.now()
    const child = this.#start(host, ['load', address, String(port), String(rate)])
    let text = ''
    let lines = 0
    const waiting: { count: number; resolve: () => void }[] = []
    child.stdout.setEncoding('latin1').on('data', (piece: string) => {
      text += piece
      lines += piece.split('\n').length - 1
      for (const { count, resolve } of waiting) if (lines >= count) resolve()
    })
    return {
      answered: (more) => new Promise((resolve) => void waiting.push({ count: lines + more, resolve })),
      stop: async () => {
        const seconds = (performance.now() - start) / 1000
        const count = lines
        child.stdin.end()
        await once(child, 'close')
        const answers: { server: string; startedAt: number }[] = []
        const failures: string[] = []
        for (const line of text.split('\n')) {
          if (line.startsWith('! ')) failures.push(line.slice(2))
          else if (line !== '') {
            const [server = '', startedAt] = line.split(' ')
            answers.push({ server, startedAt: Number(startedAt) })
          }
        }
        return { answers, failures, bySecond: count / seconds }
      },
    }
  }

  #start(host: Host, args: readonly string[]): ChildProcessWithoutNullStreams {
    const namespace = `--net=/proc/${process.pid}/fd/${host.netns.fd}`
    const child = spawn('nsenter', [namespace, path.join(this.#folder, 'traffic'), ...args])
    this.#running.add(child)
    child.once('close', () => this.#running.delete(child))
    return child
  }

  async close(): Promise<void> {
    const ended = [...this.#running].map((child) => {
      child.kill()
      return once(child, 'close')
    })
    await Promise.all(ended)
    await rm(this.#folder, { recursive: true })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}
