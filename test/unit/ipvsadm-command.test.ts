/** What of the commands needs no kernel: dispatch, help, and what is said where IPVS is not to be had. */
import { mkdtemp, rm, symlink } from 'node:fs/promises'
import { readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { run, type RunOptions } from '../../src/cli/ipvsadm/index.js'
import { kernelMessage } from '../../src/cli/ipvsadm/messages.js'
import { runViaduct } from '../../src/cli/viaduct.js'
import { KernelError } from '../../src/errors/index.js'
import { FakeKernel } from '../../src/testing/index.js'
import { type Outcome, outcomeOf } from './support/outcome.js'

const viaduct = (...words: string[]): Promise<Outcome> =>
  outcomeOf((streams) => runViaduct(['node', '/usr/bin/viaduct', ...words], streams))
const ipvsadm = (words: readonly string[], options?: RunOptions): Promise<Outcome> =>
  outcomeOf((streams) => run(words, streams, options))

const version = 'ipvsadm v1.31 2019/12/24 (compiled with popt and IPVS v1.2.1)\n'

void t.test('viaduct says which commands there are', async (t) => {
  const help = await viaduct('--help')
  t.equal(help.exitCode, 0)
  t.match(help.stdout, /ipvsadm/)
  for (const name of ['conntrack', 'nft', 'doctor']) t.match(help.stdout, new RegExp(`^ {2}${name} `, 'm'))
  const { version: expected } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
  t.strictSame(await viaduct('--version'), { exitCode: 0, stdout: `${expected}\n`, stderr: '' })
  t.strictSame(await viaduct(), { exitCode: 2, stdout: '', stderr: help.stdout })
  const wrong = await viaduct('ipvsdm')
  t.equal(wrong.exitCode, 2)
  t.match(wrong.stderr, /^viaduct: there is no command ipvsdm\n/)
  t.match(await viaduct('--netns'), { exitCode: 2, stderr: /--netns needs/ })
})

void t.test('viaduct ipvsadm, and a link that is named ipvsadm', async (t) => {
  t.strictSame(await viaduct('ipvsadm', '-v'), { exitCode: 0, stdout: version, stderr: '' })
  t.match(await viaduct('--netns', 'nowhere', 'ipvsadm', '-h'), { exitCode: 0, stdout: /viaduct ipvsadm -A/ })
  t.match(await viaduct('ipvsadm', '-q'), { exitCode: 255, stderr: /^Try `viaduct ipvsadm -h' or/ })
  const named = await outcomeOf((streams) => runViaduct(['node', '/usr/local/sbin/ipvsadm', '-q'], streams))
  t.strictSame(named, {
    exitCode: 255,
    stdout: '',
    stderr: "Try `ipvsadm -h' or 'ipvsadm --help' for more information.\n",
  })
})

void t.test('as a program', async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'viaduct-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const main = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url))
  const link = path.join(folder, 'ipvsadm')
  await symlink(main, link)
  const execute = promisify(execFile)
  t.equal((await execute(process.execPath, [link, '-v'])).stdout, version)
  t.equal((await execute(process.execPath, [main, 'ipvsadm', '-v'])).stdout, version)
  await t.rejects(execute(process.execPath, [link, '-A']), { code: 2, stderr: /You need to supply/ })
  // Whoever reads may stop: no stack trace, no error.
  const { stdout, stderr } = await execute('sh', ['-c', `"$0" "$1" -h | head -n 1`, process.execPath, link])
  t.strictSame([stdout, stderr], [version, ''])
})

void t.test('help names every option', async (t) => {
  const { stdout, exitCode } = await ipvsadm(['-h'], { program: 'x' })
  t.equal(exitCode, 0)
  t.ok(stdout.startsWith(version))
  const { optionRows } = await import('../../src/cli/ipvsadm/options.js')
  for (const { long, short } of optionRows) {
    if (['help', 'version', 'sort'].includes(long)) continue
    t.ok(stdout.includes(`--${long}`) || (short !== undefined && stdout.includes(`-${short}`)), `--${long}`)
  }
})

void t.test('where IPVS is not to be had', async (t) => {
  const other = { name: 'nl80211', handle: () => [] }
  const absent = await ipvsadm(['-Ln'], { transport: new FakeKernel({ families: [other] }) })
  t.equal(absent.exitCode, 2)
  t.equal(absent.stdout, '')
  t.match(
    absent.stderr,
    /^Can't initialize ipvs: Protocol not available\nAre you sure that IP Virtual Server is built in the kernel or as module\?\n/,
  )
  const kernel = new FakeKernel()
  kernel.disturb({ fails: 'EPERM' })
  t.match(await ipvsadm(['-C'], { transport: kernel }), {
    exitCode: 2,
    stderr: /^Can't initialize ipvs: Permission denied \(you must be root\)\n/,
  })
})

void t.test('a namespace that is not there is not taken for a kernel without IPVS', async (t) => {
  const outcome = await ipvsadm(['-Ln'], { netns: 'viaduct-nowhere' })
  t.match(outcome, { exitCode: 1, stdout: '', stderr: /^ENOENT: netns\.open \(netns=viaduct-nowhere\)/ })
})

void t.test('what the kernel refuses has the words of ipvsadm', async (t) => {
  const words = (errno: number, command: Parameters<typeof kernelMessage>[1]): string =>
    kernelMessage(new KernelError({ errno, operation: 'test' }), command)
  t.equal(words(-17, 'add-service'), 'Service already exists')
  t.equal(words(-17, 'start-daemon'), 'Daemon has already run')
  t.equal(words(-2, 'edit-service'), 'Scheduler or persistence engine not found')
  t.equal(words(-2, 'delete-server'), 'No such destination')
  t.equal(words(-2, 'add-server'), 'No such file or directory')
  t.equal(words(-3, 'zero'), 'No such service')
  t.equal(words(-1, 'flush'), 'Permission denied (you must be root)')
  t.equal(words(-22, 'set'), 'Invalid operation.  Possibly wrong module version, address not unicast, ...')
  t.match(words(-110, 'list'), /ETIMEDOUT/, 'others are told as they are')
})
