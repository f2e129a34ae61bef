/**
 * The lab: runs a command on a kernel that has IPVS, as root, with the machine's own files as they are.
 *
 *   const { status } = await runInLab({ kernel: '6.1', command: ['ipvsadm', '-Ln'] })
 *
 * QEMU boots Debian's kernels (behaviour); user-mode Linux runs code natively (speed). The guest sees the
 * host's file system at the same paths; what it writes stays in its memory and is gone with it.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cleanUpOnSignals, LabError, runGuest } from './guest.mjs'
import { makeInitramfs, quote } from './initramfs.mjs'
import { prepareKernel } from './kernels.mjs'
import { chooseAccelerator, kvmBootTimeoutSeconds, rememberAccelerator } from './kvm.mjs'
import { prepareQemu, qemuModules, qemuProgram } from './qemu.mjs'
import { prepareUml, umlEnvironment, umlModules, umlProgram } from './uml.mjs'

export { LabError } from './guest.mjs'
export { KernelUnavailableError, kernelRoles, newestHeaders } from './kernels.mjs'
export { kernelHasIpvs } from './running-kernel.mjs'

/** @typedef {import('./kernels.mjs').KernelRole | 'uml'} LabKernel */

const repository = resolve(dirname(fileURLToPath(import.meta.url)), '../..')

/**
 * @typedef {object} LabOptions
 * @property {LabKernel} kernel
 * @property {readonly string[]} command program and arguments, found by PATH
 * @property {string | undefined} [cwd] the repository unless given
 * @property {Readonly<Record<string, string | undefined>> | undefined} [env] added to this process' own;
 *   undefined takes one out. `VIADUCT_LAB` is set to the kernel's role.
 * @property {import('./guest.mjs').OnOutput | undefined} [onOutput] called with each piece as it comes
 * @property {number | undefined} [timeoutSeconds] for the command, from the moment the guest is up (1800)
 * @property {number | undefined} [memoryMegabytes] of the guest (2048)
 * @property {string | undefined} [results] a folder of the host that the guest may write to, at the same path;
 *   made when missing. Everything else that the guest writes is lost.
 * @property {AbortSignal | undefined} [signal] ends the guest and rejects with the signal's reason
 * @property {((line: string) => void) | undefined} [say] lines about downloads and boots (standard error)
 */

/**
 * @typedef {object} LabResult
 * @property {number} status of the command; 128 + n when signal n ended it, 127 when it was not found
 * @property {string} kernelRelease `uname -r` of the guest
 * @property {string} output what the command wrote to standard output and standard error, in the order it came
 * @property {number} bootSeconds from the start to the command
 * @property {number} boots 2 when the first guest died before it could run the command
 */

/**
 * Boots a guest, runs a command in it and ends it.
 *
 * Rejects with a LabError (with the console's output) when the guest dies, ends early or takes too long, with a
 * KernelUnavailableError when the kernel cannot be fetched, and with an Error that names packages when they
 * are missing and cannot be installed here.
 *
 * @param {LabOptions} options
 * @returns {Promise<LabResult>}
 */
export async function runInLab(options) {
  const { kernel: role, memoryMegabytes = 2048, say = (line) => process.stderr.write(`${line}\n`) } = options
  if (options.command.length === 0) throw new TypeError('runInLab: command is empty')
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Error('the lab needs Linux on x86-64')
  }
  const results = options.results === undefined ? undefined : resolve(options.results)
  if (results !== undefined) mkdirSync(results, { recursive: true })

  const machine = await (role === 'uml' ? umlMachine(say, memoryMegabytes) : qemuMachine(role, say))
  const settings = {
    modules: machine.modules,
    results: results === undefined ? '' : machine.fileSystem,
    results_at: results ?? '',
  }
  const initramfs = makeInitramfs({ ...machine, settings, command: commandScript(options) })
  const boot = () =>
    bootOnce(machine, initramfs, {
      memoryMegabytes,
      results,
      timeoutSeconds: options.timeoutSeconds ?? 1800,
      onOutput: options.onOutput,
      signal: options.signal,
    })
  try {
    return { ...(await boot()), boots: 1 }
  } catch (error) {
    // Emulated guests have been seen to die for no known reason. Before the command has begun it does no harm
    // to start anew, once and not in silence; after that it is for the caller to decide.
    if (!(error instanceof LabError) || error.booted) throw error
    machine.bootFailed?.()
    say(`${error.message}\ntrying once more`)
    return { ...(await boot()), boots: 2 }
  }
}

/**
 * @param {Machine} machine
 * @param {Buffer} initramfs
 * @param {{
 *   memoryMegabytes: number,
 *   timeoutSeconds: number,
 *   results?: string | undefined,
 *   bootTimeoutSeconds?: number | undefined,
 *   onOutput?: import('./guest.mjs').OnOutput | undefined,
 *   signal?: AbortSignal | undefined,
 * }} options
 */
async function bootOnce(
  machine,
  initramfs,
  { memoryMegabytes, results, bootTimeoutSeconds = 180, ...options },
) {
  const folder = mkdtempSync(join(tmpdir(), 'viaduct-lab-'))
  const remove = () => rmSync(folder, { recursive: true, force: true })
  const forget = cleanUpOnSignals(remove)
  try {
    const initrd = join(folder, 'initrd')
    writeFileSync(initrd, initramfs, { mode: 0o600 }) // it holds the environment
    return await runGuest({
      ...options,
      program: machine.program({ folder, initrd, memoryMegabytes, results }),
      env: machine.env,
      name: machine.name,
      bootTimeoutSeconds,
      onUp: remove, // all of it is in the guest's memory by now
    })
  } finally {
    remove()
    forget()
  }
}

/**
 * What differs between the ways to run a kernel.
 *
 * @typedef {object} Machine
 * @property {string} name
 * @property {string} modules
 * @property {readonly string[]} load
 * @property {'9p' | 'hostfs'} fileSystem
 * @property {NodeJS.ProcessEnv} [env]
 * @property {() => void} [bootFailed] makes the next attempt a safer one
 * @property {(options: {
 *   folder: string, initrd: string, memoryMegabytes: number, results: string | undefined
 * }) => [string, ...string[]]} program
 */

/**
 * @param {import('./kernels.mjs').KernelRole} role
 * @param {(line: string) => void} say
 * @returns {Promise<Machine>}
 */
async function qemuMachine(role, say) {
  await prepareQemu(say)
  const kernel = await prepareKernel(role, say)
  /** @type {Machine & { accelerator: 'kvm' | 'tcg' }} */
  const machine = {
    name: `the lab's guest (Linux ${kernel.release})`,
    modules: kernel.modules,
    load: qemuModules,
    fileSystem: '9p',
    accelerator: 'kvm',
    program({ folder: _, ...options }) {
      return qemuProgram({ accelerator: this.accelerator, image: kernel.image, ...options })
    },
    bootFailed() {
      if (this.accelerator === 'kvm') rememberAccelerator('tcg')
      this.accelerator = 'tcg'
    },
  }
  machine.accelerator = await chooseAccelerator(() => comesUp(machine), say)
  return machine
}

/** @param {Machine} machine */
async function comesUp(machine) {
  const settings = { modules: machine.modules, results: '', results_at: '' }
  const limits = { memoryMegabytes: 512, timeoutSeconds: 5, bootTimeoutSeconds: kvmBootTimeoutSeconds }
  try {
    const { status } = await bootOnce(
      machine,
      makeInitramfs({ ...machine, settings, command: 'exit 0\n' }),
      limits,
    )
    return status === 0
  } catch (error) {
    if (error instanceof LabError) return false
    throw error
  }
}

/**
 * @param {(line: string) => void} say
 * @param {number} memoryMegabytes
 * @returns {Promise<Machine>}
 */
async function umlMachine(say, memoryMegabytes) {
  const { release, modules, preload } = await prepareUml(say)
  return {
    name: `the lab's guest (user-mode Linux ${release})`,
    modules,
    load: umlModules,
    fileSystem: 'hostfs',
    env: umlEnvironment(preload, memoryMegabytes),
    program: umlProgram,
  }
}

/**
 * The shell script that becomes the command, in its folder and with its environment.
 *
 * @param {LabOptions} options
 */
function commandScript({ command, cwd = repository, env = {}, kernel }) {
  const lines = Object.entries({ ...process.env, ...env, VIADUCT_LAB: kernel })
    .filter(([name, value]) => value !== undefined && /^[A-Za-z_][A-Za-z0-9_]*$/.test(name))
    .map(([name, value]) => `export ${name}=${quote(value ?? '')}`)
  // The shell's own path of busybox tools must not be seen by the command.
  return `unset PATH\n${lines.join('\n')}\ncd ${quote(resolve(cwd))} || exit 1\nexec ${command.map(quote).join(' ')}\n`
}
