/** What ran at one place (the checks, the unit tests, one kernel) and how it went. */
import { stripVTControlCharacters } from 'node:util'
import { seconds } from '../project.mjs'

/**
 * @typedef {object} Stage
 * @property {string} place  As the summary calls it.
 * @property {string} key  What test/minimums.json calls it.
 * @property {number} passed
 * @property {number} failed
 * @property {number} skipped
 * @property {string[]} notes  For the summary: what was not as usual.
 */

/** @returns {Stage} */
export function openStage(place, key = place, notes = []) {
  console.log(`\n# ${place}`)
  for (const note of notes) console.log(note)
  return { place, key, passed: 0, failed: 0, skipped: 0, notes }
}

/**
 * Adds what a process with tests said.
 *
 * @param {Stage} stage
 * @param {string} name
 * @param {import('./count.mjs').Tally} tally
 * @param {{ status: number, stderr: string }} result  Of the process: one that dies after its last test has failed too.
 * @param {number} start
 */
export function addTests(stage, name, tally, { status, stderr }, start) {
  const told = [...tally.told]
  let { passed, failed, skipped } = tally
  if (status !== 0 && failed === 0) {
    failed = 1
    told.push(`failed: ${name}: its process ended with status ${status}`)
  }
  if (failed > 0 && stderr.trim() !== '') {
    const lines = stderr.trimEnd().split('\n').slice(-60)
    told.push('  standard error:', ...lines.map((line) => `    ${line}`))
  }
  const counts = [`${passed} passed`, failed > 0 && `${failed} failed`, skipped > 0 && `${skipped} skipped`]
  tell(failed === 0, `${name}: ${counts.filter(Boolean).join(', ')}`, start, told)
  stage.passed += passed
  stage.failed += failed
  stage.skipped += skipped
}

/** `ok name (1.2 s)` and, indented, what there is to say. */
export function tell(ok, name, start, lines) {
  console.log(`${ok ? 'ok' : 'not ok'} ${name} (${seconds(start)})`)
  for (const line of lines) console.log(`    ${stripVTControlCharacters(line)}`)
}

/** Of what ran, a minimum must be at least this share. */
const mostUnseen = 0.9

/**
 * Prints how many tests ran where.
 *
 * @param {readonly Stage[]} stages
 * @param {Readonly<Record<string, number>>} minimums  A place that ran fewer has failed, and so has one that ran so many
 *   more that the loss of some would not be seen.
 * @returns {{ passed: number, failed: number, skipped: number }}
 */
export function summarize(stages, minimums) {
  const total = { passed: 0, failed: 0, skipped: 0 }
  console.log('\n# summary')
  for (const stage of stages) {
    const ran = stage.passed + stage.failed
    const minimum = minimums[stage.key] ?? 0
    const isStale = minimum > 0 && ran * mostUnseen > minimum + 1
    const note = ran < minimum ? ': NOT ENOUGH' : isStale ? ': raise that in test/minimums.json' : ''
    const demanded = minimum === 0 ? '' : `, at least ${minimum} must${note}`
    console.log(`${stage.place}: ${ran} tests ran, ${stage.failed} failed${demanded}`)
    for (const note of stage.notes) console.log(`  ${note}`)
    total.passed += stage.passed
    total.failed += stage.failed + (note === '' ? 0 : 1)
    total.skipped += stage.skipped
  }
  return total
}
