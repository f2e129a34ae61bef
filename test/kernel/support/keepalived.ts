/** keepalived in a host of a sandbox: another one who speaks VRRP. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Host } from '../../../src/testing/index.js'

/** The reason why there is none, where there is none. The tests' runner installs it. */
export const lacksKeepalived = (() => {
  try {
    execFileSync('keepalived', ['--version'], { stdio: 'ignore' })
    return undefined
  } catch {
    return 'keepalived is not installed'
  }
})()

export interface KeepalivedOptions {
  readonly folder: string
  readonly priority: number
  readonly virtualRouterId: number
  readonly intervalSeconds: number
  /** With the lengths of their prefixes. */
  readonly addresses: readonly string[]
  /** More of its own words, within the instance. */
  readonly words?: readonly string[]
}

export class Keepalived {
  readonly #process: ChildProcess
  #output = ''

  constructor(host: Host, options: KeepalivedOptions) {
    const { folder, priority, virtualRouterId, intervalSeconds, addresses, words = [] } = options
    const file = (name: string): string => path.join(folder, `${host.name}-${name}`)
    writeFileSync(
      file('conf'),
      `global_defs {
  vrrp_version 3
}
vrrp_instance test {
  state BACKUP
  interface eth0
  virtual_router_id ${virtualRouterId}
  priority ${priority}
  advert_int ${intervalSeconds}
  garp_master_delay 1
  ${words.join('\n  ')}
  virtual_ipaddress {
    ${addresses.join('\n    ')}
  }
}
`,
    )
    const inside = `--net=/proc/${process.pid}/fd/${host.netns.fd}`
    const own = ['--vrrp', '--dont-fork', '--log-console', '--log-detail', '--use-file', file('conf')]
    const files = ['--pid', file('pid'), '--vrrp_pid', file('vrrp-pid')]
    // Of one that was killed: it would be taken for running.
    for (const name of ['pid', 'vrrp-pid']) rmSync(file(name), { force: true })
    this.#process = spawn('nsenter', [inside, 'keepalived', ...own, ...files], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const stream of [this.#process.stdout!, this.#process.stderr!]) {
      stream.on('data', (data) => (this.#output += String(data)))
    }
  }

  /** What it has logged. */
  get output(): string {
    return this.#output
  }

  /** At once and without a word: the process that speaks VRRP first, or it would hear of its parent's end. */
  async kill(): Promise<void> {
    const { pid } = this.#process
    if (pid === undefined || !this.#isRunning()) return
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number)
    const ended = once(this.#process, 'close')
    process.kill(pid, 'SIGSTOP')
    for (const child of children) if (child > 0) process.kill(child, 'SIGKILL')
    process.kill(pid, 'SIGKILL')
    await ended
  }

  /** In order: it says so to the others. */
  async stop(): Promise<void> {
    if (!this.#isRunning()) return
    const ended = once(this.#process, 'close')
    this.#process.kill('SIGTERM')
    await ended
  }

  #isRunning(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null
  }
}
