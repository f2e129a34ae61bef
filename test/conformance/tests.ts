/** Files of cases as tests: one for each situation, with an assertion for each packet. */
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { DataplaneKind } from '../../src/dataplane/index.js'
import { leaksSince, openResources } from '../../src/testing/index.js'
import { programmingBy } from './programming.js'
import { emulatedPatience, type Report, runSituations, usualPatience } from './run.js'
import { readSituations } from './situation.js'

/** Of the sources: cases are not compiled. */
const folder = fileURLToPath(new URL('../../../test/conformance/', import.meta.url))
const lab = process.env['VIADUCT_LAB']
const isEmulated = lab !== undefined && lab !== 'uml'

/**
 * @param cases  `published`: those that every dataplane anywhere has to pass. `own`: ours, which go on from there.
 * @param seconds  for each file
 */
export function conformanceTests(kind: DataplaneKind, cases: 'published' | 'own', seconds: number): void {
  const isOwn = (name: string): boolean => name.startsWith('own-')
  const files = readdirSync(folder).filter(
    (name) => name.endsWith('.json') && isOwn(name) === (cases === 'own'),
  )
  for (const file of files) {
    void t.test(`${kind}: ${file}`, { timeout: seconds * 1000 }, async (t) => {
      const before = openResources()
      const groups = readSituations(readFileSync(`${folder}${file}`, 'utf8'))
      const bySituation = new Map<string, Report[]>(groups.flat().map(({ name }) => [name, []]))
      await runSituations(groups, programmingBy(kind), {
        patience: isEmulated ? emulatedPatience : usualPatience,
        report: (report) => bySituation.get(report.situation)!.push(report),
      })
      for (const [situation, reports] of bySituation) {
        await t.test(situation, (t) => {
          for (const { packet, wrong } of reports) t.equal(wrong, undefined, packet)
          t.end()
        })
      }
      t.same(await leaksSince(before), [], 'nothing is left open')
    })
  }
}
