/** The lab tests: all files in one process for each kernel, or on this kernel if it has IPVS. */
import { release } from 'node:os'
import { StringDecoder } from 'node:string_decoder'
import { checkCoverage, checkFeatures, loadFeatures, scheduleOf } from '../lab/features.mjs'
import { KernelUnavailableError, kernelHasIpvs, LabError, runInLab } from '../lab/index.mjs'
import { probeFeatures, probePackages } from '../lab/probe.mjs'
import { ensurePackages } from '../packages.mjs'
import { inProject, runNode } from '../project.mjs'
import { countTests } from './count.mjs'
import { addTests, openStage, tell } from './stage.mjs'

/** When the newest kernel cannot be had that day. */
const insteadOfNewest = '6.12'

/** So that a test that hangs is told by tap, with all the others, before the guest's own limit loses them. */
const marginSeconds = 60

/**
 * @typedef {object} Options
 * @property {NodeJS.ProcessEnv} env
 * @property {number} timeoutSeconds  For each kernel.
 * @property {boolean} [whole]  All tests of the table feature × kernel are among the files: each feature that it says is
 *   tested must be used by one.
 */

/**
 * Runs the files on this kernel if it has IPVS, and otherwise on each kernel of the lab that is named.
 *
 * @param {(kernel: string) => readonly string[]} filesOf  What runs on a kernel; `here` is this one.
 * @param {readonly string[]} kernels
 * @param {Options & { inLab?: boolean }} options  `inLab`: in the lab whatever this kernel has
 * @returns {Promise<import('./stage.mjs').Stage[]>}
 */
export async function runLabTests(filesOf, kernels, { inLab = false, ...options }) {
  if (!inLab && (await kernelHasIpvs())) return [await here(filesOf('here'), options)]
  const stages = []
  for (const kernel of kernels) stages.push(await onKernel(kernel, filesOf, options))
  return stages
}

/**
 * The table feature × kernel: what a kernel lacks by its build is not scheduled there, which is listed. A feature that is
 * scheduled on none of the kernels is a failure.
 */
export function checkSchedule(kernels) {
  const start = performance.now()
  const table = loadFeatures()
  const stage = openStage('features', 'features')
  for (const kernel of kernels) {
    const { scheduled, lacks } = scheduleOf(table, kernel)
    const without = lacks.length === 0 ? '' : `; ${lacks.length} that it lacks are not: ${lacks.join(' ')}`
    stage.notes.push(`${kernel}: ${scheduled.length} features are scheduled${without}`)
  }
  const problems = checkFeatures(table, kernels)
  tell(problems.length === 0, `every feature is scheduled on ${kernels.join(' or ')}`, start, problems)
  stage[problems.length === 0 ? 'passed' : 'failed']++
  return stage
}

async function here(files, options) {
  const stage = openStage(`lab: here, ${release()}`, 'lab here', [
    'This kernel has IPVS: the lab tests run on it directly.',
  ])
  await guarded(stage, async () => {
    const { has, reasons } = await probeFeatures()
    stage.notes.push(
      `${has.size} features are here${reasons.size === 0 ? '' : `; not scheduled, for this kernel lacks them: ${[...reasons.keys()].join(' ')}`}`,
    )
    const used = await follow(stage, 'here', (onOutput) => {
      return runNode(scriptOf(files), { ...limited(options), onOutput })
    })
    if (options.whole === true) tellCoverage(stage, [...has].filter((name) => !used.has(name)).map(notUsed))
  })
  return stage
}

/** A guest has been seen to panic for no known reason: once more then, and the summary says so. */
async function onKernel(kernel, filesOf, options, notes = []) {
  const stage = openStage(`lab: ${kernel}`, `lab ${kernel}`, notes)
  const command = [process.execPath, ...scriptOf(filesOf(kernel))]
  const run = async () => {
    const used = await follow(stage, kernel, async (onOutput) => {
      const result = await runInLab({ ...limited(options), command, kernel, onOutput })
      if (result.boots > 1) stage.notes.push('The first guest died before the tests began.')
      return result
    })
    if (options.whole === true) tellCoverage(stage, checkCoverage(loadFeatures(), kernel, used))
  }
  for (let attempt = 1; ; attempt++) {
    const again = (error) => attempt === 1 && error instanceof LabError && !error.timedOut
    const error = await guarded(stage, run, again)
    if (error === undefined) return stage
    if (error instanceof KernelUnavailableError && kernel === 'newest') {
      const lost = notTestedOn(insteadOfNewest)
      return onKernel(insteadOfNewest, filesOf, options, [
        `${error.message}: ${insteadOfNewest} took its place.${lost.length === 0 ? '' : ` Not tested that way: ${lost.join(' ')}`}`,
      ])
    }
    if (!again(error)) return stage
    stage.notes.push('The guest died and was started once more.')
    console.log(error.message)
  }
}

/** What the newest kernel alone would have tested. */
function notTestedOn(kernel) {
  const { scheduled } = scheduleOf(loadFeatures(), kernel)
  return scheduleOf(loadFeatures(), 'newest').scheduled.filter((name) => !scheduled.includes(name))
}

const scriptOf = (files) => [inProject('scripts/test/import-files.mjs'), ...files]

function limited({ env, timeoutSeconds }) {
  return { env: { ...env, TAP_TIMEOUT: String(timeoutSeconds - marginSeconds) }, timeoutSeconds }
}

const notUsed = (name) => `${name}: it is here, and no test used it`

function tellCoverage(stage, problems) {
  tell(
    problems.length === 0,
    `${stage.place}: every scheduled feature was used by a test`,
    performance.now(),
    problems,
  )
  stage[problems.length === 0 ? 'passed' : 'failed']++
}

/** What keeps the tests from running is a failure, and is told; unless it is `tried` again or elsewhere. */
async function guarded(stage, run, again = () => false) {
  const start = performance.now()
  try {
    // The tests compare with Debian's ipvsadm, and the guest sees this machine's programs.
    await ensurePackages(probePackages, { why: 'test on kernels that have IPVS' })
    await run()
    return undefined
  } catch (error) {
    if (again(error)) return error
    tell(false, stage.place, start, error.message.split('\n'))
    stage.failed++
    return error
  }
}

/**
 * Counts while it runs, and tells of each outermost test as it ends. What has failed before a guest dies has failed.
 *
 * @returns {Promise<Set<string>>} the features that the tests said they used
 */
async function follow(stage, kernel, run) {
  const start = performance.now()
  let failedSoFar = 0
  const onTest = (name, { failed, told }, milliseconds = 0) => {
    failedSoFar += failed
    tell(failed === 0, `${kernel}: ${name}`, performance.now() - milliseconds, told)
  }
  const counter = countTests(kernel, { onTest })
  const decoders = { stdout: new StringDecoder(), stderr: new StringDecoder() }
  let stderr = ''
  const onOutput = (chunk, stream) => {
    const text = typeof chunk === 'string' ? chunk : decoders[stream].write(chunk)
    if (stream === 'stdout') counter.write(text)
    else stderr += text
  }
  let result
  try {
    result = await run(onOutput)
  } catch (error) {
    stage.failed += failedSoFar
    throw error
  }
  const { status, kernelRelease } = result
  if (kernelRelease !== undefined) stage.place += `, ${kernelRelease}`
  const used = new Set()
  const rest = stderr.replace(/^features used: (.*)\n/gm, (_, names) => {
    for (const name of names.split(' ')) used.add(name)
    return ''
  })
  addTests(stage, stage.place, counter.end(), { status, stderr: rest }, start)
  return used
}
