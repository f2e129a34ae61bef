/**
 * `npm run bench -- ipvs [--json | --markdown] [--runs N] [--services N] [--destinations N] [--without-restore] [--uml]`: how fast
 * a table is loaded, listed and changed, beside C programs and ipvsadm in the same run.
 *
 * What needs IPVS runs on this kernel if it has it and in user-mode Linux if not (or with --uml); the rest on the host.
 * Exit status: 0, 1 if a run was void (an error, a table that is not whole), 2 for wrong usage. Targets that are not
 * reached are marked.
 */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs, promisify } from 'node:util'
import { requires } from '../../src/testing/index.js'
import type { GuestResults, GuestSettings } from './ipvs/guest.js'
import { measureHost } from './ipvs/host.js'
import { markdown, type Results, text } from './ipvs/report.js'
import type { Size } from './ipvs/table.js'
import { targetsOf } from './ipvs/targets.js'
import { compile } from './processes.js'
import {
  ensurePackages,
  inFolder,
  machine,
  numberOf,
  type Print,
  printOf,
  printOptions,
  project,
  runProgram,
} from './program.js'

const usage =
  'Usage: npm run bench -- ipvs [--json | --markdown] [--runs N] [--services N] [--destinations N] [--without-restore] [--uml]'

interface Options extends Size {
  readonly print: Print
  readonly runs: number
  readonly withoutRestore: boolean
  readonly uml: boolean
}

function optionsOf(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      ...printOptions,
      services: { type: 'string', default: '10000' },
      destinations: { type: 'string', default: '10' },
      'without-restore': { type: 'boolean', default: false },
      uml: { type: 'boolean', default: false },
    },
  })
  return {
    print: printOf(values),
    runs: numberOf(values, 'runs', 100),
    // As many addresses as table.ts has.
    services: numberOf(values, 'services', 65_536),
    destinationsEach: numberOf(values, 'destinations', 250),
    withoutRestore: values['without-restore'],
    uml: values.uml,
  }
}

function measure(options: Options): Promise<Results> {
  const { services, destinationsEach, runs, withoutRestore } = options
  const size: Size = { services, destinationsEach }
  return inFolder('ipvs', async (folder) => {
    const peer = `${folder}/peer`
    await compile('ipvs/peer.c', peer)
    const about = machine()
    process.stderr.write('on the host\n')
    const host = await measureHost(size, runs, peer, folder)
    const where = options.uml ? 'user-mode Linux' : whereIpvsIs()
    process.stderr.write(`in ${where}\n`)
    const guest = await inGuest(where, { ...size, runs, peer, folder, withoutRestore })
    return { where, machine: about, ...size, runs, withoutRestore, host, guest }
  })
}

function whereIpvsIs(): 'this kernel' | 'user-mode Linux' {
  return requires({ ipvs: true, sandbox: true }) === undefined ? 'this kernel' : 'user-mode Linux'
}

/** The project's own scripts, as far as they are used here. */
interface Project {
  readonly runNode: (
    args: readonly string[],
    options: { timeoutSeconds: number; onOutput: (text: string) => void },
  ) => Promise<{ readonly status: number }>
}
interface Lab {
  readonly runInLab: (options: {
    kernel: 'uml'
    command: readonly string[]
    results: string
    memoryMegabytes: number
    timeoutSeconds: number
    onOutput: (chunk: Uint8Array | string) => void
  }) => Promise<{ readonly status: number }>
}
async function inGuest(where: string, settings: GuestSettings): Promise<GuestResults> {
  await ensurePackages(['ipvsadm', 'util-linux'], 'compare with ipvsadm')
  const program = fileURLToPath(new URL('ipvs/guest.js', import.meta.url))
  const args = [program, JSON.stringify(settings)]
  const onOutput = (chunk: Uint8Array | string): void => void process.stderr.write(chunk)
  const { status } =
    where === 'this kernel'
      ? await (await project<Project>('project.mjs')).runNode(args, { timeoutSeconds, onOutput })
      : await inUserModeLinux([process.execPath, ...args], settings.folder, onOutput)
  if (status !== 0) throw new Error(`the guest ended with status ${status}`)
  return JSON.parse(readFileSync(`${settings.folder}/results.json`, 'utf8')) as GuestResults
}

const timeoutSeconds = 3600

/**
 * On one processor. User-mode Linux has no more than one anyway, and each system call in it is a switch between two
 * processes of the host: where these sit on two processors, it takes as long as it takes to wake the other one, which in
 * a virtual machine is three times as long and never the same.
 */
async function inUserModeLinux(
  command: readonly string[],
  results: string,
  onOutput: (chunk: Uint8Array | string) => void,
): Promise<{ readonly status: number }> {
  const [processor = '0'] =
    /(?<=^Cpus_allowed_list:\s*)\d+/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? []
  // What is started from here on inherits it.
  await promisify(execFile)('taskset', ['--cpu-list', '--pid', processor, String(process.pid)])
  const { runInLab } = await project<Lab>('lab/index.mjs')
  return runInLab({ kernel: 'uml', command, results, memoryMegabytes: 4096, timeoutSeconds, onOutput })
}

process.exitCode = await runProgram({
  usage,
  options: optionsOf,
  measure,
  targets: targetsOf,
  text,
  markdown,
})
