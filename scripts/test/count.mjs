/**
 * Counts tests in TAP. A test is a named subtest that holds no further subtest (`t.test('weight 0 drains', …)`): not a
 * file and not an assertion. A file whose assertions stand in no subtest is one test. What is left over counts as
 * failed too: a test that asserts nothing, an assertion that fails beside subtests, a plan not kept, an early end.
 */
import { Parser } from 'tap-parser'

/** @typedef {{ passed: number, failed: number, skipped: number, told: string[] }} Tally  `told`: lines on what failed. */

/**
 * @param {string} name  Of the whole: a file, or the kernel that its tests ran on.
 * @param {{ onTest?: (name: string, tally: Tally, milliseconds?: number) => void, filtered?: boolean }} [options]  `onTest` is told of each
 *   outermost subtest as it ends; `filtered`: tests were chosen by name, so that none may be left
 */
export function countTests(name, { onTest, filtered = false } = {}) {
  const parser = new Parser()
  const root = collect(parser, name, onTest)
  return {
    /** @param {string} text */
    write: (text) => void parser.write(text),
    /** @returns {Tally} */
    end() {
      parser.end()
      // What is wrong with the whole (no plan, an unmet plan, a bail-out) is no single assertion's fault.
      const errors = parser.failures.filter((failure) => failure.tapError !== undefined)
      root.point = {
        ok: errors.length === 0 && parser.bailedOut === false,
        name,
        diag: { message: errors.map((e) => e.tapError).join(', ') },
      }
      const isEmpty = root.children.length === 0 && root.points.length === 0
      if (filtered && isEmpty && root.point.ok) return { passed: 0, failed: 0, skipped: 0, told: [] }
      return tally(root, [])
    },
  }
}

/** The tree of subtests as it comes: `points` are assertions, `point` is the line that concludes a subtest. */
function collect(level, name, onTest) {
  const node = { name, point: undefined, points: [], children: [] }
  level.on('child', (inner) => node.children.push(collect(inner, inner.name)))
  level.on('assert', (point) => {
    const child = node.children.at(-1)
    if (child !== undefined && child.point === undefined && child.name === point.name) {
      child.point = point
      if (onTest !== undefined) {
        onTest(child.name, tally(child, []), point.time)
        child.told = true
      }
    } else node.points.push(point)
  })
  return node
}

function tally(node, above) {
  const names = [...above, node.name]
  const skipped = node.points.filter((point) => point.skip || point.todo)
  const asserted = node.points.filter((point) => !point.skip && !point.todo)
  const failed = asserted.filter((point) => !point.ok)
  if (node.children.length > 0) return tallyGroup(node, names, skipped, failed)

  if (failed.length > 0) return result('failed', [names.join(' > '), ...failed.flatMap(describe)])
  if (node.point === undefined) return result('failed', [`${names.join(' > ')}: did not end`])
  if (node.point.ok === false) return result('failed', [names.join(' > '), ...describe(node.point)])
  if (skipped.length > 0) return result('skipped', [names.join(' > '), ...skipped.map(reason)])
  return asserted.length === 0
    ? result('failed', [`${names.join(' > ')}: asserts nothing`])
    : result('passed', [])
}

/** What holds subtests is no test itself; what goes wrong in it beside them still counts. */
function tallyGroup(node, names, skipped, failed) {
  const parts = [
    ...node.children.map((child) => ({ ...tally(child, names), ...(child.told && { told: [] }) })),
    ...skipped.map((point) => result('skipped', [[...names, point.name].join(' > '), reason(point)])),
    ...failed.map((point) => result('failed', [names.join(' > '), ...describe(point)])),
  ]
  const total = { passed: 0, failed: 0, skipped: 0, told: [] }
  for (const part of parts) {
    for (const key of ['passed', 'failed', 'skipped']) total[key] += part[key]
    total.told.push(...part.told)
  }
  if (total.failed === 0 && node.point?.ok !== true) {
    total.failed = 1
    total.told.push(
      names.join(' > '),
      ...(node.point === undefined ? ['  did not end'] : describe(node.point)),
    )
  }
  return total
}

const result = (kind, [head, ...rest]) => ({
  passed: 0,
  failed: 0,
  skipped: 0,
  [kind]: 1,
  told: head === undefined ? [] : [`${kind}: ${head}`, ...rest],
})

const reason = (point) =>
  `  ${[point.name, point.skip, point.todo].filter((text) => typeof text === 'string').join(' ')}`

function describe({ name, diag }) {
  const { at, diff, stack, message, ...more } = diag ?? {}
  const place = at?.fileName === undefined ? '' : ` (${at.fileName}:${at.lineNumber})`
  const parts = [message, diff, stack, diff === undefined ? interesting(more) : undefined]
  return [
    `  ${name}${place}`,
    ...parts
      .filter(Boolean)
      .join('\n')
      .trimEnd()
      .split('\n')
      .filter(Boolean)
      .map((line) => `    ${line}`),
  ]
}

/** Fields of the diagnosis that tap shows without a diff: found, wanted, code, signal, expired … */
function interesting(diagnosis) {
  return Object.entries(diagnosis)
    .filter(([key]) => key !== 'source' && key !== 'compare')
    .map(([key, value]) => `${key}: ${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join('\n')
}
