/**
 * One guest as a child process: started, listened to on its channels, ended. Knows nothing of QEMU or UML.
 */
import { spawn } from 'node:child_process'
import { constants } from 'node:os'

/** Descriptors that the guest's program gets, beside its standard ones; what each carries is told in main.sh. */
export const channels = /** @type {const} */ ({ console: 3, control: 4, stdout: 5, stderr: 6 })

/** How much of the console's end is kept for error messages. */
const consoleTail = 64 * 1024

/** After the command's end: what it wrote is on its way already. */
const drainSeconds = 30

/**
 * A guest that died, ended early, or took too long (`timedOut`). `consoleOutput` is what its kernel said, `output`
 * what the command wrote until then, `booted` whether the command was started.
 */
export class LabError extends Error {
  /**
   * @param {string} message
   * @param {{ consoleOutput: string, output: string, booted: boolean, timedOut?: boolean, cause?: unknown }} details
   */
  constructor(message, { consoleOutput, output, booted, timedOut = false, cause }) {
    const said = consoleOutput.trim()
    super(`${message}; ${said === '' ? 'its console is empty' : `its console:\n${said}`}`, { cause })
    this.name = 'LabError'
    this.consoleOutput = consoleOutput
    this.output = output
    this.booted = booted
    this.timedOut = timedOut
  }
}

/** @typedef {(chunk: Buffer, stream: 'stdout' | 'stderr') => void} OnOutput */

/**
 * Starts the program of a guest, waits for the command in it to end, and ends the guest.
 *
 * @param {object} options
 * @param {readonly [string, ...string[]]} options.program with its arguments
 * @param {NodeJS.ProcessEnv} [options.env] of the program, not of the command
 * @param {string} options.name for messages
 * @param {number} options.bootTimeoutSeconds until the guest says that it is up
 * @param {number} options.timeoutSeconds for the command
 * @param {(() => void) | undefined} [options.onUp] the guest has read what it needed to start
 * @param {OnOutput | undefined} [options.onOutput]
 * @param {AbortSignal | undefined} [options.signal]
 * @returns {Promise<{ status: number, kernelRelease: string, output: string, bootSeconds: number }>}
 */
export async function runGuest({
  program: [file, ...args],
  env = process.env,
  name,
  bootTimeoutSeconds,
  timeoutSeconds,
  onUp,
  onOutput,
  signal,
}) {
  signal?.throwIfAborted()
  const started = performance.now()
  // With the parent gone the kernel kills the guest, even if the parent was killed. A session of its own
  // keeps the terminal's ^C from it: ending it is our part.
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', file, ...args], {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe', 'pipe', 'pipe'],
    env,
    detached: true,
  })
  const kill = () => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
    } catch {
      // it has ended
    }
  }
  const forget = cleanUpOnSignals(kill)
  const gone = new Promise((resolve) => {
    child.once('error', resolve)
    child.once('close', (code, by) => resolve(by ?? `status ${code}`))
  })

  let consoleOutput = ''
  /** @type {Buffer[]} */
  const written = []
  const received = { stdout: 0, stderr: 0 }
  let control = ''
  let notify = () => {}

  for (const stream of [child.stdout, child.stderr, child.stdio[channels.console]]) {
    listen(stream, (chunk) => {
      consoleOutput = (consoleOutput + chunk.toString('latin1')).slice(-consoleTail)
    })
  }
  listen(child.stdio[channels.control], (chunk) => {
    control += chunk.toString('latin1')
    notify()
  })
  for (const stream of /** @type {const} */ (['stdout', 'stderr'])) {
    listen(child.stdio[channels[stream]], (chunk) => {
      received[stream] += chunk.length
      written.push(chunk)
      try {
        onOutput?.(chunk, stream)
      } finally {
        notify()
      }
    })
  }

  const outputText = () => Buffer.concat(written).toString('utf8')
  /** @param {string} message */
  const failure = (message, details = /** @type {{ timedOut?: boolean, cause?: unknown }} */ ({})) =>
    new LabError(message, { consoleOutput, output: outputText(), booted: /^up /m.test(control), ...details })

  /**
   * Waits until `test` gives something, looking whenever something came from the guest.
   *
   * @template T
   * @param {string} what
   * @param {number} seconds
   * @param {() => T | undefined | null | false} test
   * @returns {Promise<T>}
   */
  const until = (what, seconds, test) =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => finish(() => reject(failure(`${name} ${what} within ${seconds} s`, { timedOut: true }))),
        seconds * 1000,
      )
      const abort = () => finish(() => reject(signal?.reason))
      const finish = (/** @type {() => void} */ act) => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', abort)
        notify = () => {}
        act()
      }
      signal?.addEventListener('abort', abort, { once: true })
      notify = () => {
        const value = test()
        if (value) finish(() => resolve(value))
      }
      void gone.then((how) => {
        notify()
        const reason = how instanceof Error ? `could not be started: ${how.message}` : `ended early (${how})`
        finish(() => reject(failure(`${name} ${reason}`, how instanceof Error ? { cause: how } : {})))
      })
      notify()
    })

  try {
    const [, kernelRelease = ''] = await until('was not up', bootTimeoutSeconds, () =>
      /^up (\S+)\r?\n/m.exec(control),
    )
    const bootSeconds = (performance.now() - started) / 1000
    onUp?.()
    const [, status, stdoutBytes, stderrBytes] = await until(
      'did not finish its command',
      timeoutSeconds,
      () => /^exit (\d+) (\d+) (\d+)\r?\n/m.exec(control),
    )
    await until(
      'did not deliver all that the command wrote',
      drainSeconds,
      () => received.stdout >= Number(stdoutBytes) && received.stderr >= Number(stderrBytes),
    )
    return { status: Number(status), kernelRelease, output: outputText(), bootSeconds }
  } finally {
    kill()
    await gone
    forget()
  }
}

/**
 * @param {unknown} stream
 * @param {(chunk: Buffer) => void} listener
 */
function listen(stream, listener) {
  const readable = /** @type {import('node:stream').Readable} */ (stream)
  readable.on('data', listener)
  readable.on('error', () => {}) // the other end was killed: the child's end tells the story
}

/**
 * What is to be done when this process ends; one listener for all of them.
 *
 * @type {Set<() => void>}
 */
const cleanUps = new Set()
const endingSignals = /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])

/**
 * Calls `cleanUp` when this process ends or is told to by a signal. The signal then has the effect that it
 * would have had.
 *
 * @param {() => void} cleanUp must be synchronous
 * @returns {() => void} takes it back
 */
export function cleanUpOnSignals(cleanUp) {
  const entry = () => cleanUp() // the same function may be given twice
  if (cleanUps.size === 0) {
    process.on('exit', runCleanUps)
    for (const each of endingSignals) process.on(each, endBySignal)
  }
  cleanUps.add(entry)
  return () => {
    cleanUps.delete(entry)
    if (cleanUps.size === 0) stopListening()
  }
}

function runCleanUps() {
  for (const cleanUp of cleanUps) cleanUp()
}

/** @param {NodeJS.Signals} signal */
function endBySignal(signal) {
  runCleanUps()
  stopListening()
  // Somebody else who listens decides what happens next.
  if (process.listenerCount(signal) > 0) return
  process.exitCode = 128 + constants.signals[signal] // for the case that the signal is ignored (nohup)
  process.kill(process.pid, signal)
}

function stopListening() {
  process.off('exit', runCleanUps)
  for (const each of endingSignals) process.off(each, endBySignal)
}
