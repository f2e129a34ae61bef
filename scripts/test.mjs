/**
 * `npm test`: the checks, the unit tests, the kernel tests in namespaces of this kernel, and the lab tests on kernels
 * that have IPVS. Prints how many tests ran where; a place where fewer ran than test/minimums.json demands has failed.
 */
import { release } from 'node:os'
import { build } from './build.mjs'
import { check } from './check.mjs'
import { ensurePackages } from './packages.mjs'
import { filesBelow, inProject, plainEnvironment, readJson } from './project.mjs'
import { openStage, summarize } from './test/stage.mjs'

const parts = ['check', 'unit', 'kernel', 'lab']

/** By their roles in the lab: every test of the lab runs on these. */
const labKernels = ['6.1', 'newest']

/** Tests of the running kernel that every kernel of the lab but user-mode Linux (no nf_tables) is held to as well. */
const onEveryKernel =
  /\/(nftables(-builder|-objects|-packets|-since)?|conntrack|sockdiag|conformance-nftables)\.test\.js$/

/** In user-mode Linux code runs natively: the tests that put servers under load have four times as much there. */
const underLoad = /\/drain\.test\.js$/
/** It has no nf_tables: what a dataplane does without is seen there, and processes start fast enough to be killed. */
const withoutTables =
  /\/(dataplane-ipvs-(alone|failed|random|wire|killed|balance|load)|edge-sync|agent-ipvs|tutorial)\.test\.js$/

/** Emulated, these take minutes: what they look at is our rules more than the kernel, and one kernel is enough. */
const onOneKernel = {
  6.1: /\/dataplane-ipvs-rules\.test\.js$/,
  newest: /\/dataplane-ipvs(-wire|-balance|-kept)?\.test\.js$/,
}
/** Emulated, these take longer still: with nf_tables they are run by the long tests. */
const natively =
  /\/(dataplane-ipvs-(alone|failed|random|killed|load)|edge-sync|agent-ipvs|tutorial)\.test\.js$/

/** What tests of the running kernel speak with. */
const peerPackages = ['bind9-dnsutils', 'curl', 'iproute2', 'keepalived']

const hostTimeoutSeconds = 300
/** An emulated kernel takes ten minutes, on a machine that has nothing else to do. */
const labTimeoutSeconds = 1200
const longTimeoutSeconds = 7200

/**
 * @param {{ only?: readonly string[], kernels?: readonly string[], grep?: string }} [options]  For developers: which of
 *   check, unit, kernel and lab; which kernels of the lab; which tests, by name. All of it where left out.
 */
export async function test({ only = parts, kernels, grep } = {}) {
  const unknown = only.filter((part) => !parts.includes(part))
  if (unknown.length > 0) throw new Error(`--only takes ${parts.join(', ')}, not ${unknown.join(', ')}`)
  const compiled = await build()
  const env = testEnvironment(grep)
  const stages = []
  if (only.includes('check')) stages.push({ ...openStage('check'), ...(await check({ compiled })) })
  else if (!compiled.ok) console.log(compiled.output)
  if (only.includes('unit')) stages.push(await onHost('unit', 'unit', env))
  if (only.includes('kernel')) {
    await ensurePackages(peerPackages, { why: 'test beside the programs that do the same' })
    stages.push(await onHost('kernel', `kernel: here, ${release()}`, env))
  }
  if (only.includes('lab')) {
    await ensurePackages(['curl'], { why: 'do what the tutorial says' })
    const { checkSchedule, runLabTests } = await import('./test/lab.mjs')
    const files = await compiledTests('lab')
    const ofLoad = files.filter((file) => underLoad.test(file) || withoutTables.test(file))
    const ofKernel = (await compiledTests('kernel')).filter((file) => onEveryKernel.test(file))
    const ofUml = kernels === undefined ? ofLoad : files
    const filesOf = (kernel) =>
      kernel === 'uml'
        ? ofUml
        : [...files, ...ofKernel].filter((file) => {
            const elsewhere = Object.entries(onOneKernel).filter(([one]) => one !== kernel)
            if (kernel === 'here') return true
            return !natively.test(file) && elsewhere.every(([, pattern]) => !pattern.test(file))
          })
    const options = { env, timeoutSeconds: labTimeoutSeconds, inLab: kernels !== undefined }
    const whole = kernels === undefined && grep === undefined
    const tested = await runLabTests(filesOf, kernels ?? [...labKernels, 'uml'], { ...options, whole })
    if (whole && !tested.some(({ key }) => key === 'lab here')) stages.push(checkSchedule(labKernels))
    stages.push(...tested)
  }
  return summarize(stages, grep === undefined ? await readJson(inProject('test/minimums.json')) : {})
}

/** `npm run test:long`: fuzzing, soak, minutes of load. test/long here, test/long/lab in user-mode Linux, test/long/newest there. */
export async function testLong({ grep } = {}) {
  const compiled = await build()
  if (!compiled.ok) throw new Error(compiled.output)
  const { runLabTests } = await import('./test/lab.mjs')
  const env = testEnvironment(grep)
  const stages = [
    await onHost('long', 'long', { ...env, TAP_TIMEOUT: String(longTimeoutSeconds) }, longTimeoutSeconds),
  ]
  const files = await compiledTests('long/lab')
  const options = { env, timeoutSeconds: longTimeoutSeconds }
  stages.push(...(await runLabTests(() => files, ['uml'], options)))
  const withTables = (await compiledTests('lab')).filter((file) => natively.test(file))
  const emulated = [...(await compiledTests('long/newest')), ...withTables]
  stages.push(...(await runLabTests(() => emulated, ['newest'], options)))
  return summarize(stages, grep === undefined ? { long: 5, 'lab uml': 2, 'lab here': 2 } : {})
}

async function onHost(folder, place, env, timeoutSeconds = hostTimeoutSeconds) {
  const { runHostTests } = await import('./test/host.mjs')
  const stage = openStage(place, folder)
  await runHostTests(stage, await compiledTests(folder), { env, timeoutSeconds })
  return stage
}

function compiledTests(folder) {
  const inFolder = new RegExp(`^dist/test/${folder}/[^/]+\\.test\\.js$`)
  return filesBelow(`dist/test/${folder}`, (file) => inFolder.test(file))
}

function testEnvironment(grep) {
  // Left alone, tap ends a process after 30 s.
  const env = { ...plainEnvironment(), TAP_TIMEOUT: String(hostTimeoutSeconds) }
  return grep === undefined ? env : { ...env, TAP_GREP: grep, TAP_FILTER_QUIETLY: '1' }
}
