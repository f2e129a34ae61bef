/**
 * The table feature × kernel (test/lab/features.json): which kernel of the lab has what, and where it is
 * tested. What a kernel lacks by its build is not scheduled there: it is listed and counted, not skipped.
 * A feature that is scheduled nowhere is a failure.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/**
 * tests: the kernel has it and tests of it run there. has: it is there, tested on other kernels. lacks: it is
 * not there.
 *
 * @typedef {'tests' | 'has' | 'lacks'} Cell
 */

/**
 * @typedef {object} Features
 * @property {readonly string[]} kernels the columns, roles of the lab
 * @property {Readonly<Record<string, { about: string, on: Readonly<Record<string, Cell>> }>>} features
 */

export const featuresPath = fileURLToPath(new URL('../../test/lab/features.json', import.meta.url))

/** @returns {Features} */
export function loadFeatures() {
  return JSON.parse(readFileSync(featuresPath, 'utf8'))
}

/**
 * What is wrong with the table, for a run of the lab on `kernels`: cells that are missing or unknown, and
 * features that none of these kernels tests. Empty when all is well.
 *
 * @param {Features} table
 * @param {readonly string[]} [kernels] those that the run boots; every column unless given
 * @returns {string[]}
 */
export function checkFeatures(table, kernels = table.kernels) {
  const problems = kernels
    .filter((kernel) => !table.kernels.includes(kernel))
    .map((kernel) => `the table has no column for the kernel ${kernel}`)
  for (const [name, { on }] of Object.entries(table.features)) {
    for (const kernel of table.kernels) {
      if (!['tests', 'has', 'lacks'].includes(on[kernel] ?? '')) {
        problems.push(
          `${name}: tests, has or lacks must stand under ${kernel}, not ${on[kernel] ?? 'nothing'}`,
        )
      }
    }
    if (!kernels.some((kernel) => on[kernel] === 'tests')) {
      problems.push(`${name}: scheduled on none of ${kernels.join(', ')}`)
    }
  }
  return problems
}

/**
 * The features that are tested on a kernel, and those that it lacks and that are therefore not scheduled.
 *
 * @param {Features} table
 * @param {string} kernel
 * @returns {{ scheduled: string[], notScheduled: string[], lacks: string[] }} `lacks` is part of `notScheduled`
 */
export function scheduleOf(table, kernel) {
  const names = Object.keys(table.features)
  const cell = (/** @type {string} */ name) => table.features[name]?.on[kernel]
  return {
    scheduled: names.filter((name) => cell(name) === 'tests'),
    notScheduled: names.filter((name) => cell(name) !== 'tests'),
    lacks: names.filter((name) => cell(name) === 'lacks'),
  }
}

/**
 * Features that the table says are tested on a kernel and that no test which ran there used, and ones that tests
 * used and the table does not know.
 *
 * @param {Features} table
 * @param {string} kernel
 * @param {Iterable<string>} used what the tests that ran there said they used (test/lab/support/features.ts)
 * @returns {string[]}
 */
export function checkCoverage(table, kernel, used) {
  const named = new Set(used)
  return [
    ...scheduleOf(table, kernel)
      .scheduled.filter((name) => !named.has(name))
      .map((name) => `${name}: the table says that it is tested on ${kernel}, and no test there used it`),
    ...[...named]
      .filter((name) => !Object.hasOwn(table.features, name))
      .map((name) => `${name}: a test used it, and the table does not know it`),
  ]
}
