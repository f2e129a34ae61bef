/** A guide as what it promises: commands, the hosts of the tutorial that they are run on, and what they print. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout } from 'node:timers/promises'
import type { Test } from 'tap'
import { type TutorialHost, tutorialHosts } from '../../../docs/examples/tutorial-hosts.js'
import { until } from '../../lab/support/until.js'

export interface Step {
  readonly host: TutorialHost
  readonly command: string
  /** What is shown below it. A line `…` stands for any lines. */
  readonly shown: string
}

/** The steps of each heading, in their order. */
export function stepsOf(page: string): ReadonlyMap<string, readonly Step[]> {
  const chapters = new Map<string, Step[]>()
  for (const [, heading, text] of page.matchAll(/^## (.*)\n([^]*?)(?=^## |$(?![^]))/gm)) {
    const steps = [...text!.matchAll(/^```console\n([^]*?)^```$/gm)].flatMap(([, block]) =>
      stepsOfBlock(block!),
    )
    if (steps.length > 0) chapters.set(heading!, steps)
  }
  return chapters
}

/** `node-a# command`, and what it prints; or `# command` where there is one host, which is `node-a`. */
function stepsOfBlock(block: string): Step[] {
  const prompt = block.startsWith('# ') ? '()# ' : '([a-z-]+)# '
  const steps = [...block.matchAll(new RegExp(`^${prompt}(.*)\\n((?:(?!${prompt}).*\\n)*)`, 'gm'))]
  if (steps.map(([all]) => all).join('') !== block) throw new Error(`not a step: ${block}`)
  return steps.map(([, host, command, shown]) => ({
    host: (host || 'node-a') as TutorialHost,
    command: command!,
    shown: shown!,
  }))
}

const services = 'curl -sS --unix-socket /run/viaduct/control.sock http://viaduct/v1/services'

/** Of what comes a moment later; much of it is for an emulated kernel. */
const longestMilliseconds = 60_000

/** Those hosts, and a reader who does what the guide says. */
export class Reader {
  readonly #hosts: Awaited<ReturnType<typeof tutorialHosts>>
  /** What was begun with `&`. */
  readonly #jobs: { readonly host: TutorialHost; readonly process: ChildProcess }[] = []
  /** What those said of themselves. */
  #logged = ''

  private constructor(hosts: Awaited<ReturnType<typeof tutorialHosts>>) {
    this.#hosts = hosts
  }

  static async begin(): Promise<Reader> {
    return new Reader(await tutorialHosts())
  }

  /** To the end, or to what is not as it is shown: what comes after that says nothing. */
  async follow(t: Test, steps: readonly Step[]): Promise<void> {
    for (const step of steps) {
      await this.#do(t, step)
      if (!t.passing()) return
    }
  }

  /**
   * What is asked of a `viaduct run` follows what was done to its manifests a moment later: it is asked until it fits. Everything
   * else has to be as it is shown at once.
   */
  async #do(t: Test, { host, command, shown }: Step): Promise<void> {
    const name = `${host}# ${command}`
    if (command.endsWith(' &')) return this.#start(host, command.slice(0, -2))
    const killed = /^kill %(\d)$/.exec(command)
    if (killed !== null) {
      const jobs = this.#jobs.filter((job) => job.host === host)
      return stop(jobs[Number(killed[1]) - 1]!.process)
    }
    let said = await this.run(host, command)
    if (/^viaduct (get|status|describe|explain)\b/.test(command)) {
      const deadline = performance.now() + longestMilliseconds
      while (!fits(said, shown) && performance.now() < deadline) {
        // Who starts or reads is not to be held up by who asks.
        await setTimeout(100)
        said = await this.run(host, command)
      }
      // That is what it knows; next its kernel has it.
      await until('it is programmed', async () => !(await this.run(host, services)).includes('"pending"'))
    }
    if (fits(said, shown)) t.pass(name)
    else {
      t.equal(normal(said), normal(shown), name)
      t.comment(this.#logged)
    }
  }

  /** What it prints, on both of its outputs. */
  run(host: TutorialHost, command: string): Promise<string> {
    return new Promise((resolve) => {
      execFile(this.#hosts.enter(host), ['sh', '-c', `exec 2>&1\n${command}`], (_error, stdout) =>
        resolve(stdout),
      )
    })
  }

  #start(host: TutorialHost, command: string): void {
    const words = ['sh', '-c', `exec ${command}`]
    const job = spawn(this.#hosts.enter(host), words, { stdio: ['ignore', 'ignore', 'pipe'] })
    job.stderr.setEncoding('utf8').on('data', (text: string) => (this.#logged += `${host}: ${text}`))
    this.#jobs.push({ host, process: job })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const job of this.#jobs) await stop(job.process)
    await this.#hosts.close()
  }
}

async function stop(process: ChildProcess): Promise<void> {
  if (process.exitCode !== null || process.signalCode !== null) return
  process.kill('SIGTERM')
  await once(process, 'exit')
}

function fits(said: string, shown: string): boolean {
  const pattern = normal(shown)
    .split(/^…\n/m)
    .map((part) => part.replaceAll(/[$()*+.?[\\\]^{|}]/g, '\\$&'))
    .join('(?:.*\\n)*?')
  return new RegExp(`^${pattern}$`).test(normal(said))
}

/** Without what is another one each time or on other kernels, and spaces that nobody sees. */
function normal(text: string): string {
  return text
    .replaceAll(/since \S+, process \d+/g, 'since TIME, process ID')
    .replaceAll(/^(Changes +).*$/gm, '$1COUNTS')
    .replaceAll(/^removed: nftables, ipvs$/gm, 'removed: nftables')
    .replaceAll(/ +$/gm, '')
}
