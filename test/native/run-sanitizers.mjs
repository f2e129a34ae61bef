#!/usr/bin/env node
/**
 * The addon and its exchange code under AddressSanitizer, UndefinedBehaviorSanitizer and valgrind. Exits with 1 if any
 * of them finds something. `node test/native/run-sanitizers.mjs [--short]`; takes the compiled tests of `dist`, and root.
 *
 * Short: the C driver and the addon's tests with sanitizers, a minute or so. Otherwise more noise, and valgrind too.
 */
import { spawn } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildAddon } from '../../scripts/build-addon.mjs'
import { ensurePackages } from '../../scripts/packages.mjs'

const root = fileURLToPath(new URL('../..', import.meta.url))
const sanitize = [
  '-fsanitize=address,undefined',
  '-fno-sanitize-recover=undefined',
  '-fno-omit-frame-pointer',
  '-g',
  '-O1',
]
/** Test files that use the addon and nothing that is not copied. */
const files = [
  'unit/addon.test.js',
  'kernel/net.test.js',
  'kernel/net-events.test.js',
  'kernel/health.test.js',
  'kernel/health-checks.test.js',
]
/** Scenarios after which nothing of the addon's may be left allocated. */
const scenarios = ['threads', 'namespaces', 'collected', 'exits', 'throws']

/** How a frame of the addon's reads: the sanitizers give the path, valgrind the name of the file (thread.c is libuv's too). */
const ownSources = readdirSync(path.join(root, 'native')).filter(
  (name) => name.endsWith('.c') && name !== 'thread.c',
)
const ownFrame = new RegExp(`/native/\\w+\\.c:|\\((${ownSources.join('|')}):\\d+\\)`)

const short = process.argv.includes('--short')
const timeoutSeconds = short ? 300 : 1800

mkdirSync(path.join(root, '.cache'), { recursive: true })
/** A tree like the project's own, so that its tests load the other addon without knowing. */
const tree = mkdtempSync(path.join(root, '.cache/sanitizers-'))
const logs = path.join(tree, 'logs')
let failures = 0
try {
  mkdirSync(logs)
  for (const folder of ['src', 'test']) {
    cpSync(path.join(root, 'dist', folder), path.join(tree, 'dist', folder), { recursive: true })
  }
  symlinkSync(path.join(root, 'test'), path.join(tree, 'test'))
  await driver()
  await addonWithSanitizers()
  if (!short) {
    await ensurePackages(['valgrind'], { why: 'look for errors of the addon' })
    await driverInValgrind()
    await addonInValgrind()
  }
} finally {
  rmSync(tree, { recursive: true, force: true })
}
console.log(failures === 0 ? 'nothing found' : `${failures} runs failed`)
process.exitCode = failures === 0 ? 0 : 1

/** native/exchange.c against a socket pair that answers anything, and against the kernel. */
async function driver() {
  const program = await compileDriver('driver-sanitized', sanitize)
  await expectSuccess(
    'the exchange driver with sanitizers',
    program,
    [short ? '50000' : '3000000'],
    sanitizerSettings(true),
  )
}

async function driverInValgrind() {
  const program = await compileDriver('driver', ['-g', '-O1'])
  await expectSuccess('the exchange driver in valgrind', 'valgrind', [
    '-q',
    '--error-exitcode=9',
    '--leak-check=full',
    '--show-leak-kinds=all',
    '--errors-for-leak-kinds=all',
    program,
    '5000',
  ])
}

async function compileDriver(name, flags) {
  const program = path.join(tree, name)
  const native = (file) => path.join(root, 'native', file)
  const { status, output } = await run('cc', [
    ...['-std=gnu11', '-D_GNU_SOURCE', '-Wall', '-Wextra', '-Werror', '-pthread', ...flags],
    path.join(root, 'test/native/exchange_driver.c'),
    ...[native('exchange.c'), native('clock.c')],
    ...['-o', program],
  ])
  if (status !== 0) throw new Error(`the exchange driver does not compile:\n${output}`)
  return program
}

async function addonWithSanitizers() {
  await buildAddon({ folder: path.join(tree, 'prebuilt'), extraFlags: sanitize })
  const preload = { LD_PRELOAD: await runtime('libasan.so') }
  for (const file of files) {
    const settings = { ...sanitizerSettings(false), ...preload }
    await expectSuccess(`${file} with sanitizers`, process.execPath, [inTree('test', file)], settings)
    reportLogs(file, () => true)
  }
  for (const scenario of scenarios) {
    const settings = { ...sanitizerSettings(true), LSAN_OPTIONS: 'exitcode=0', ...preload }
    const args = ['--expose-gc', inTree('test/native/scenario.js'), scenario]
    // What V8 leaves to the end of the process is reported too: what counts is memory that the addon asked for.
    await expectSuccess(`scenario ${scenario} without leaks`, process.execPath, args, settings, [0, 4])
    reportLogs(`scenario ${scenario}`, (report) => !/^(Direct|Indirect) leak/m.test(report) || isOurs(report))
  }
}

/** Valgrind's errors about the code that V8 makes are Node's own; those with the addon on their stack are not. */
async function addonInValgrind() {
  await buildAddon({ folder: path.join(tree, 'prebuilt'), extraFlags: ['-g', '-O1'] })
  const runs = [
    ...files.map((file) => [file, [inTree('test', file)]]),
    ...scenarios.map((name) => [name, ['--expose-gc', inTree('test/native/scenario.js'), name]]),
  ]
  for (const [name, args] of runs) {
    const settings = [
      '--error-limit=no',
      '--num-callers=20',
      '--leak-check=full',
      '--show-leak-kinds=definite',
      `--log-file=${path.join(logs, 'valgrind.%p')}`,
    ]
    await expectSuccess(
      `${name} in valgrind`,
      'valgrind',
      [...settings, process.execPath, ...args],
      {},
      [0, 4],
    )
    reportLogs(name, (report) => ownFrame.test(report) && (!report.includes(' lost in ') || isOurs(report)))
  }
}

/** A leak is the addon's if it asked for the memory itself, by malloc or through a function of Node-API. */
function isOurs(report) {
  const frames = report.split('\n').filter((line) => /^\s*#\d+ |(at|by) 0x/.test(line))
  return frames.slice(0, 3).some((frame) => ownFrame.test(frame))
}

/** Counts what stands in the logs, report by report, and removes them. */
function reportLogs(name, counts) {
  for (const file of readdirSync(logs)) {
    const text = readFileSync(path.join(logs, file), 'utf8')
    // LeakSanitizer and valgrind part their reports by (nearly) empty lines; an error of another kind is one report.
    const reports = /detected memory leaks|^==\d+== Memcheck/m.test(text)
      ? text.split(/\n(?:==\d+== )?\n/)
      : [text]
    const found = reports.filter((report) => isReport(report) && counts(report))
    rmSync(path.join(logs, file))
    if (found.length === 0) continue
    failures++
    console.log(`not ok ${name}: ${found.length} findings`)
    for (const report of found.slice(0, 5)) console.log(report.split('\n').slice(0, 25).join('\n'))
  }
}

function isReport(text) {
  return /ERROR: AddressSanitizer|runtime error|(Direct|Indirect) leak of|(at|by) 0x/.test(text)
}

function sanitizerSettings(leaks) {
  const log = path.join(logs, 'report')
  return {
    ASAN_OPTIONS: `log_path=${log}:detect_leaks=${leaks ? 1 : 0}:exitcode=99`,
    UBSAN_OPTIONS: `log_path=${log}:print_stacktrace=1`,
  }
}

async function runtime(library) {
  const { output } = await run('cc', [`-print-file-name=${library}`])
  if (!existsSync(output.trim()))
    throw new Error(`${library} is missing: install libgcc-12-dev or what has it here`)
  return output.trim()
}

function inTree(...parts) {
  return path.join(tree, 'dist', ...parts)
}

async function expectSuccess(name, command, args, env = {}, statuses = [0]) {
  const start = performance.now()
  const { status, output } = await run(command, args, env)
  const seconds = ((performance.now() - start) / 1000).toFixed(1)
  if (statuses.includes(status)) {
    console.log(`ok ${name} (${seconds} s)`)
    return
  }
  failures++
  console.log(`not ok ${name}: status ${status} (${seconds} s)`)
  console.log(
    output
      .split('\n')
      .filter((line) => !/^\s*ok /.test(line))
      .slice(-60)
      .join('\n'),
  )
  for (const file of readdirSync(logs)) {
    console.log(readFileSync(path.join(logs, file), 'utf8').split('\n').slice(0, 40).join('\n'))
  }
}

function run(command, args, env = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      env: { ...process.env, TAP_TIMEOUT: String(timeoutSeconds), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let output = ''
    child.stdout.on('data', (piece) => (output += String(piece)))
    child.stderr.on('data', (piece) => (output += String(piece)))
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutSeconds * 1000)
    child.once('error', reject)
    child.once('close', (code, signal) => {
      clearTimeout(timer)
      resolve({ status: code ?? signal, output })
    })
  })
}
