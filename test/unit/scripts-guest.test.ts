/** Guests of the lab, played by a shell on the same descriptors. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import t from 'tap'

interface Options {
  readonly program: readonly [string, ...string[]]
  readonly name: string
  readonly bootTimeoutSeconds: number
  readonly timeoutSeconds: number
  readonly onOutput?: (chunk: Buffer, stream: 'stdout' | 'stderr') => void
  readonly signal?: AbortSignal
}
interface Outcome {
  readonly status: number
  readonly kernelRelease: string
  readonly output: string
}
const file = new URL('../../../scripts/lab/guest.mjs', import.meta.url).href
const { runGuest, channels } = (await import(file)) as {
  runGuest: (options: Options) => Promise<Outcome>
  channels: Readonly<Record<'console' | 'control' | 'stdout' | 'stderr', number>>
}
const { console: toConsole, control, stdout, stderr } = channels

const play = (script: string, limits: Partial<Options> = {}): Promise<Outcome> =>
  runGuest({
    program: ['sh', '-c', script],
    name: 'the guest',
    bootTimeoutSeconds: 20,
    timeoutSeconds: 20,
    ...limits,
  })

const up = `echo 'up 6.1.0-test' >&${control}`

t.test('a command that ends tells its status and all that it wrote', async (t) => {
  const pieces: string[] = []
  const script = `${up}; printf abc >&${stdout}; printf de >&${stderr}; echo 'exit 3 3 2' >&${control}; exec sleep 100`
  const onOutput = (chunk: Buffer, stream: string): void => void pieces.push(`${stream} ${String(chunk)}`)
  const outcome = await play(script, { onOutput })
  t.match(outcome, { status: 3, kernelRelease: '6.1.0-test' })
  t.same(Array.from(outcome.output).sort().join(''), 'abcde')
  t.same(pieces.sort(), ['stderr de', 'stdout abc'])
})

t.test('a guest that dies on its way up is a failure with its console', async (t) => {
  const error: unknown = await play(`echo 'Kernel panic: no root' >&${toConsole}; exit 7`).catch(
    (error: unknown) => error,
  )
  t.match(error, {
    name: 'LabError',
    message: /^the guest ended early \(status 7\); its console:\nKernel panic: no root$/,
    booted: false,
    timedOut: false,
  })
})

t.test('a guest that dies while the command runs is one too, with what the command wrote', async (t) => {
  const error: unknown = await play(`${up}; printf half >&${stdout}; kill -9 $$`).catch(
    (error: unknown) => error,
  )
  t.match(error, { name: 'LabError', message: /^the guest ended early \(SIGKILL\); its console is empty$/ })
  t.match(error, { booted: true, timedOut: false, output: 'half' })
})

t.test('a guest that ends before it has delivered everything is no success', async (t) => {
  await t.rejects(play(`${up}; printf abc >&${stdout}; echo 'exit 0 5 0' >&${control}`), {
    name: 'LabError',
    message: /ended early/,
  })
})

t.test('a guest that says nothing, or never ends, is ended', async (t) => {
  await t.rejects(play('exec sleep 100', { bootTimeoutSeconds: 0.2 }), {
    message: /^the guest was not up within 0\.2 s/,
    booted: false,
    timedOut: true,
  })
  await t.rejects(play(`${up}; exec sleep 100`, { timeoutSeconds: 0.2 }), {
    message: /^the guest did not finish its command within 0\.2 s/,
    booted: true,
    timedOut: true,
  })
  const reason = new Error('enough')
  await t.rejects(play('exec sleep 100', { signal: AbortSignal.timeout(0) }), { name: 'TimeoutError' })
  await t.rejects(play('exec sleep 100', { signal: AbortSignal.abort(reason) }), reason)
})

t.test('^C takes the guest with it', async (t) => {
  const script = `
    import { runGuest } from '${file}'
    const onOutput = (chunk) => process.stdout.write(chunk)
    const program = ['sh', '-c', ${JSON.stringify(`${up}; echo $$ >&${stdout}; exec sleep 100`)}]
    await runGuest({ program, name: 'x', bootTimeoutSeconds: 20, timeoutSeconds: 100, onOutput })`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [pid] = (await once(child.stdout, 'data')) as [Buffer]
  const guest = `/proc/${String(pid).trim()}/stat`
  t.ok(existsSync(guest))
  child.kill('SIGINT')
  const [, signal] = (await once(child, 'exit')) as [number | null, string]
  t.equal(signal, 'SIGINT')
  // It was killed before its parent ended, and dies when the kernel comes to it; whoever inherits it buries it.
  const deadline = performance.now() + 10_000
  while (isAlive(guest) && performance.now() < deadline)
    await new Promise((resolve) => setTimeout(resolve, 10))
  t.notOk(isAlive(guest), 'the guest is gone')
})

function isAlive(stat: string): boolean {
  try {
    return !readFileSync(stat, 'utf8').includes(') Z')
  } catch {
    return false
  }
}
