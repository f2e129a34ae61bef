import { execFile } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const { addonFile, hostTarget } = (await import(
  pathToFileURL(path.join(root, 'scripts/build-addon.mjs')).href
)) as {
  readonly addonFile: (target?: string, folder?: string) => string
  readonly hostTarget: () => string
}

/** What of the package the build takes, in a folder of its own. */
function copyOf(t: Test): string {
  const folder = t.testdir()
  cpSync(path.join(root, 'native'), path.join(folder, 'native'), { recursive: true, dereference: true })
  mkdirSync(path.join(folder, 'scripts'))
  cpSync(path.join(root, 'scripts/build-addon.mjs'), path.join(folder, 'scripts/build-addon.mjs'))
  writeFileSync(path.join(folder, 'package.json'), '{ "type": "module" }')
  return folder
}

interface Ended {
  readonly status: number
  readonly output: string
}

function node(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(process.execPath, args, { env: { ...process.env, ...env } }, (error, stdout, stderr) => {
      resolve({ status: error === null ? 0 : Number(error.code), output: stdout + stderr })
    })
  })
}

const build = (folder: string, env?: NodeJS.ProcessEnv, ...targets: string[]) =>
  node([path.join(folder, 'scripts/build-addon.mjs'), ...targets], env)

/** A compiler that says this and fails. */
function failingCompiler(folder: string, words: string): string {
  const file = path.join(folder, 'compiler')
  writeFileSync(`${file}.words`, words)
  writeFileSync(file, '#!/bin/sh\ncat "$0.words" >&2\nexit 1\n')
  chmodSync(file, 0o755)
  return file
}

t.test('the addon is built once, and again when a source changed', async (t) => {
  const folder = copyOf(t)
  const file = addonFile(undefined, path.join(folder, 'prebuilt'))
  t.match(await build(folder), { status: 0, output: /viaduct\.node: built\n$/ })
  const first = statSync(file).mtimeMs
  t.match(await build(folder), { status: 0, output: /viaduct\.node: up to date\n$/ })
  t.equal(statSync(file).mtimeMs, first)
  writeFileSync(path.join(folder, 'native/addon.c'), '/* changed */\n', { flag: 'a' })
  t.match(await build(folder), { status: 0, output: /: built\n$/ })
  t.not(statSync(file).mtimeMs, first)

  writeFileSync(path.join(folder, 'native/addon.c'), 'int unused_and_wrong(void) { int a; }\n', { flag: 'a' })
  const before = readFileSync(file)
  const failed = await build(folder)
  t.equal(failed.status, 1)
  t.match(failed.output, /does not compile[^]*unused variable/, 'a warning is an error')
  t.ok(readFileSync(file).equals(before), 'the one that was there stays')
})

t.test('the compiler may be given with words before and behind it', async (t) => {
  const folder = copyOf(t)
  t.match(await build(folder, { CC: ' env LC_ALL=C  cc -DGIVEN ' }), { status: 0, output: /: built\n$/ })
  t.match(await build(folder, { CC: 'env LC_ALL=C cc -DGIVEN' }), { status: 0, output: /: up to date\n$/ })
  t.match(await build(folder, { CC: 'cc -DOTHER' }), { status: 0, output: /: built\n$/ })
})

t.test('another version of the compiler builds again, and none leaves what is there', async (t) => {
  const folder = copyOf(t)
  const compiler = path.join(folder, 'compiler')
  const version = (text: string) => writeFileSync(`${compiler}.version`, text)
  writeFileSync(
    compiler,
    '#!/bin/sh\nif [ "$1" = --version ]; then cat "$0.version"; else exec cc "$@"; fi\n',
  )
  chmodSync(compiler, 0o755)
  version('cc 12.1')
  t.match(await build(folder, { CC: compiler }), { status: 0, output: /: built\n$/ })
  t.match(await build(folder, { CC: compiler }), { status: 0, output: /: up to date\n$/ })
  version('cc 12.2')
  t.match(await build(folder, { CC: compiler }), { status: 0, output: /: built\n$/ })
  rmSync(compiler)
  t.match(await build(folder, { CC: compiler }), { status: 0, output: /: up to date\n$/ })
})

t.test('what a killed build left behind is swept away, and not what another is making', async (t) => {
  const folder = copyOf(t)
  const file = addonFile(undefined, path.join(folder, 'prebuilt'))
  mkdirSync(path.dirname(file), { recursive: true })
  const [old, recent] = [`${file}.1.a`, `${file}.2.b`] as const
  for (const leftover of [old, recent]) writeFileSync(leftover, '')
  const hourAgo = Date.now() / 1000 - 3600
  utimesSync(old, hourAgo, hourAgo)
  t.equal((await build(folder)).status, 0)
  t.notOk(existsSync(old))
  t.ok(existsSync(recent))
})

t.test('two builds at once do not disturb each other', async (t) => {
  const folder = copyOf(t)
  const ended = await Promise.all([build(folder), build(folder)])
  for (const one of ended) t.equal(one.status, 0, one.output)
  t.match(await build(folder), { status: 0, output: /up to date/ })
  const load = `const { NetlinkSocket } = require(${JSON.stringify(addonFile(undefined, path.join(folder, 'prebuilt')))})
    new NetlinkSocket({ protocol: 0 }).close(); console.log('loads')`
  t.match(await node(['-e', load]), { status: 0, output: 'loads\n' })
})

t.test('what is missing is named, with what installs it', async (t) => {
  const folder = copyOf(t)
  const cases: readonly (readonly [NodeJS.ProcessEnv | string, string | undefined, RegExp])[] = [
    [{ CC: '/nowhere/cc' }, undefined, /C compiler \/nowhere\/cc is missing.*(gcc libc6-dev|gcc musl-dev)/],
    [
      'a.c:1: fatal error: stdlib.h: No such file or directory',
      undefined,
      /header stdlib\.h is missing.*(libc6-dev|musl-dev)/,
    ],
    [
      'a.c:1: fatal error: linux/netlink.h: No such file or directory',
      undefined,
      /header linux\/netlink\.h is missing.*(linux-libc-dev|linux-headers)/,
    ],
    [
      "a.c:1:10: fatal error: 'stdlib.h' file not found",
      undefined,
      /header stdlib\.h is missing.*(libc6-dev|musl-dev)/,
    ],
    [
      "a.c:1:10: fatal error: 'linux/netlink.h' file not found",
      undefined,
      /header linux\/netlink\.h is missing.*(linux-libc-dev|linux-headers)/,
    ],
    [
      "gcc: fatal error: cannot execute 'as': execvp: No such file or directory",
      undefined,
      /compiler's as is missing.*binutils/,
    ],
    [
      "gcc: error trying to exec 'cc1': execvp: No such file or directory",
      undefined,
      /compiler's cc1 is missing.* gcc`/,
    ],
    ["collect2: fatal error: cannot find 'ld'", undefined, /compiler's ld is missing.*binutils/],
    [
      'clang: error: unable to execute command: Executable "ld" doesn\'t exist!',
      undefined,
      /compiler's ld is missing.*binutils/,
    ],
    ['ld: cannot find crti.o: none', undefined, /files for linking are missing.*(libc6-dev|musl-dev)/],
    [{ PATH: '/nowhere' }, 'linux-arm64-glibc', /aarch64-linux-gnu-gcc is missing.*gcc-aarch64-linux-gnu/],
    [{}, 'linux-vax-glibc', /no compiler is known for linux-vax-glibc/],
    [{}, 'darwin-arm64-none', /cannot be built for darwin-arm64-none/],
  ]
  for (const [given, target, message] of cases) {
    const env = typeof given === 'string' ? { CC: failingCompiler(folder, given) } : given
    const { status, output } = await build(folder, env, ...(target === undefined ? [] : [target]))
    t.equal(status, 1)
    t.match(output, message)
  }
})

t.test('libuv’s header says what the addon declares of it', async (t) => {
  const include = path.join(path.dirname(process.execPath), '../include/node')
  const source = path.join(root, 'test/native/uv_names.c')
  const args = ['-fsyntax-only', '-Wall', '-Wextra', '-Werror', `-I${include}`, source]
  const output = await new Promise<string>((resolve) => {
    execFile('cc', args, (error, stdout, stderr) => resolve(error === null ? '' : stdout + stderr))
  })
  t.equal(output, '')
})

t.test('importing loads no addon; the first open says how to build one that is not there', async (t) => {
  const folder = copyOf(t)
  cpSync(path.join(root, 'dist/src/native.js'), path.join(folder, 'dist/src/native.js'))
  cpSync(path.join(root, 'dist/src/errors'), path.join(folder, 'dist/src/errors'), {
    recursive: true,
    dereference: true,
  })
  const use = `
    const { loadNative } = await import(${JSON.stringify(pathToFileURL(path.join(folder, 'dist/src/native.js')).href)})
    console.log('imported')
    try { new (loadNative().NetlinkSocket)({ protocol: 0 }).close(); console.log('opened') }
    catch (error) { console.log(error.code, error.message, String(error.cause)) }`
  const said = async () => (await node(['--input-type=module', '-e', use])).output
  const absent = await said()
  t.match(absent, /^imported\nERR_VIADUCT_UNSUPPORTED /)
  t.match(absent, `addon for ${hostTarget()}`)
  t.match(absent, 'node node_modules/viaduct/scripts/build-addon.mjs')

  const file = addonFile(undefined, path.join(folder, 'prebuilt'))
  mkdirSync(path.dirname(file), { recursive: true })
  writeFileSync(file, 'no shared object')
  t.match(
    await said(),
    /^imported\nERR_VIADUCT_UNSUPPORTED [^]*does not load[^]*build-addon\.mjs[^]*file too short|invalid ELF/,
  )
  rmSync(file)

  t.equal((await build(folder)).status, 0)
  t.ok(existsSync(file))
  t.equal(await said(), 'imported\nopened\n')
  // As after an update of Node, under a process that goes on.
  const gone = `process.execPath = '/nowhere/node'\n${use}`
  t.equal((await node(['--input-type=module', '-e', gone])).output, 'imported\nopened\n')
})

t.test('the addon names no attribute', (t) => {
  const folder = path.join(root, 'native')
  const sources = readdirSync(folder).filter((name) => /\.[ch]$/.test(name))
  t.ok(sources.length > 20)
  for (const name of sources) {
    const text = readFileSync(path.join(folder, name), 'utf8')
    t.notMatch(text, /\b(NLA|IPVS|CTRL_ATTR|IFLA|IFA|RTA|FRA|NDA|NFTA|CTA)_[A-Z]/, name)
  }
  t.end()
})
