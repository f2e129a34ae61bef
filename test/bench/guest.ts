/** What needs IPVS runs on this kernel if it has it, and in user-mode Linux if not. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { requires } from '../../src/testing/index.js'
import { project } from './program.js'

export type Where = 'this kernel' | 'user-mode Linux'

export function whereIpvsIs(): Where {
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
/** Runs the program with its settings as JSON, and returns what it left in `results.json` of their folder. */
export async function runWhereIpvsIs<Results>(
  where: Where,
  program: URL,
  settings: { readonly folder: string },
): Promise<Results> {
  const args = [fileURLToPath(program), JSON.stringify(settings)]
  const onOutput = (chunk: Uint8Array | string): void => void process.stderr.write(chunk)
  const { status } =
    where === 'this kernel'
      ? await (await project<Project>('project.mjs')).runNode(args, { timeoutSeconds, onOutput })
      : await inUserModeLinux([process.execPath, ...args], settings.folder, onOutput)
  if (status !== 0) throw new Error(`the guest ended with status ${status}`)
  return JSON.parse(readFileSync(`${settings.folder}/results.json`, 'utf8')) as Results
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
