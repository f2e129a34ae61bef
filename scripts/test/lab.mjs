/** The lab tests: all files in one process for each kernel, or on this kernel if it has IPVS. */
import { release } from 'node:os'
import { StringDecoder } from 'node:string_decoder'
import { checkFeatures, loadFeatures, scheduleOf } from '../lab/features.mjs'
import { KernelUnavailableError, kernelHasIpvs, LabError, runInLab } from '../lab/index.mjs'
import { probePackages } from '../lab/probe.mjs'
import { ensurePackages } from '../packages.mjs'
import { inProject, runNode } from '../project.mjs'
import { countTests } from './count.mjs'
import { addTests, openStage, tell } from './stage.mjs'

/** When the newest kernel cannot be had that day. */
const insteadOfNewest = '6.12'

/** @typedef {{ env: NodeJS.ProcessEnv, timeoutSeconds: number }} Options */

/**
 * Runs the files on this kernel if it has IPVS, and otherwise on each kernel of the lab that is named.
 *
 * @param {readonly string[]} files
 * @param {readonly string[]} kernels
 * @param {Options & { inLab?: boolean }} options  `inLab`: in the lab whatever this kernel has
 * @returns {Promise<import('./stage.mjs').Stage[]>}
 */
export async function runLabTests(files, kernels, { inLab = false, env, timeoutSeconds }) {
  const script = [inProject('scripts/test/import-files.mjs'), ...files]
  const options = { env: { ...env, TAP_TIMEOUT: String(timeoutSeconds) }, timeoutSeconds }
  if (!inLab && (await kernelHasIpvs())) return [await here(script, options)]
  const stages = []
  for (const kernel of kernels) {
    stages.push(await onKernel(kernel, { ...options, command: [process.execPath, ...script] }))
  }
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

async function here(script, options) {
  const note = 'This kernel has IPVS: the lab tests run on it directly.'
  const stage = openStage(`lab: here, ${release()}`, 'lab here', [note])
  await guarded(stage, () => follow(stage, 'here', (onOutput) => runNode(script, { ...options, onOutput })))
  return stage
}

async function onKernel(kernel, options, notes = []) {
  const stage = openStage(`lab: ${kernel}`, `lab ${kernel}`, notes)
  const run = () => follow(stage, kernel, (onOutput) => runInLab({ ...options, kernel, onOutput }))
  const error = await guarded(stage, run)
  if (error instanceof KernelUnavailableError && kernel === 'newest') {
    return onKernel(insteadOfNewest, options, [`${error.message}: ${insteadOfNewest} took its place.`])
  }
  // A guest has been seen to panic for no known reason. Once more, and the summary says so.
  const again = 'The guest died and was started once more.'
  if (error instanceof LabError && !notes.includes(again)) return onKernel(kernel, options, [...notes, again])
  return stage
}

/** What keeps the tests from running is a failure, and is told. */
async function guarded(stage, run) {
  const start = performance.now()
  try {
    // The tests compare with Debian's ipvsadm, and the guest sees this machine's programs.
    await ensurePackages(probePackages, { why: 'test on kernels that have IPVS' })
    await run()
    return undefined
  } catch (error) {
    tell(false, stage.place, start, error.message.split('\n'))
    stage.failed++
    return error
  }
}

/** Counts while it runs, and tells of each outermost test as it ends. */
async function follow(stage, kernel, run) {
  const start = performance.now()
  const onTest = (name, { failed, told }, milliseconds = 0) => {
    tell(failed === 0, `${kernel}: ${name}`, performance.now() - milliseconds, told)
  }
  const counter = countTests(kernel, { onTest })
  const decoders = { stdout: new StringDecoder(), stderr: new StringDecoder() }
  let stderr = ''
  const { status, kernelRelease } = await run((chunk, stream) => {
    const text = typeof chunk === 'string' ? chunk : decoders[stream].write(chunk)
    if (stream === 'stdout') counter.write(text)
    else stderr += text
  })
  if (kernelRelease !== undefined) stage.place += `, ${kernelRelease}`
  addTests(stage, stage.place, counter.end(), { status, stderr }, start)
}
