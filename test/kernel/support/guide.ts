/** docs/guides/tutorial.md as what it promises: commands, the hosts that they are run on, and what they print. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
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

const step = /^([a-z-]+)# (.*)\n((?:(?![a-z-]+# ).*\n)*)/gm

function stepsOfBlock(block: string): Step[] {
  const steps = [...block.matchAll(step)]
  if (steps.map(([all]) => all).join('') !== block) throw new Error(`not a step: ${block}`)
  return steps.map(([, host, command, shown]) => ({
    host: host as TutorialHost,
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
  readonly #jobs = new Map<TutorialHost, ChildProcess>()
  /** What those said of themselves. */
  #logged = ''
  /** Something was not as it is shown: what comes after it says nothing. */
  #isLost = false

  private constructor(hosts: Awaited<ReturnType<typeof tutorialHosts>>) {
    this.#hosts = hosts
  }

  static async begin(): Promise<Reader> {
    return new Reader(await tutorialHosts())
  }

  /**
   * What is asked of a `viaduct run` follows what was done to its manifests a moment later: it is asked until it fits. Everything
   * else has to be as it is shown at once.
   */
  async follow(t: Test, { host, command, shown }: Step): Promise<void> {
    if (this.#isLost) return
    const name = `${host}# ${command}`
    if (command.endsWith(' &')) return this.#start(host, command.slice(0, -2))
    if (command === 'kill %1') return this.#stop(host)
    let said = await this.run(host, command)
    if (/^viaduct (get|status|describe|explain)\b/.test(command)) {
      const deadline = performance.now() + longestMilliseconds
      while (!fits(said, shown) && performance.now() < deadline) said = await this.run(host, command)
      // That is what it knows; next its kernel has it.
      await until('it is programmed', async () => !(await this.run(host, services)).includes('"pending"'))
    }
    if (fits(said, shown)) t.pass(name)
    else {
      this.#isLost = true
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
    this.#jobs.set(host, job)
  }

  async #stop(host: TutorialHost): Promise<void> {
    const job = this.#jobs.get(host)!
    this.#jobs.delete(host)
    if (job.kill('SIGTERM')) await once(job, 'exit')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const host of [...this.#jobs.keys()]) await this.#stop(host)
    await this.#hosts.close()
  }
}

function fits(said: string, shown: string): boolean {
  const pattern = normal(shown)
    .split(/^…\n/m)
    .map((part) => part.replaceAll(/[$()*+.?[\\\]^{|}]/g, '\\$&'))
    .join('(?:.*\\n)*?')
  return new RegExp(`^${pattern}$`).test(normal(said))
}

/** Without what is another one each time, and spaces that nobody sees. */
function normal(text: string): string {
  return text.replaceAll(/since \S+, process \d+/g, 'since TIME, process ID').replaceAll(/ +$/gm, '')
}
