/** Cases of the Kubernetes DNS specification, asked of a running server. */
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { readDnsCases } from '../conformance/dns/cases.js'
import { type DnsReport, runDnsCases } from '../conformance/dns/run.js'

/** Of the sources: cases are not compiled. */
const folder = fileURLToPath(new URL('../../../test/conformance/dns/', import.meta.url))

for (const file of readdirSync(folder).filter((name) => name.endsWith('.json'))) {
  void t.test(file, async (t) => {
    const cases = readDnsCases(readFileSync(`${folder}${file}`, 'utf8'))
    const reports = new Map<string, DnsReport[]>(cases.map(({ name }) => [name, []]))
    await runDnsCases(cases, (report) => void reports.get(report.name)!.push(report))
    for (const [name, list] of reports) {
      await t.test(name, (t) => {
        for (const { query, wrong } of list) t.equal(wrong, undefined, query)
        t.end()
      })
    }
  })
}

void t.test('what a server answers wrongly is told', async (t) => {
  const [one] = readDnsCases(readFileSync(`${folder}own-cluster-ip.json`, 'utf8')).slice(1)
  const wrong: string[] = []
  const queries = one!.queries.map((query) =>
    query.type !== 'A' ? query : { ...query, rcode: 'NOERROR', answers: [{ ...query, data: '10.96.0.8' }] },
  )
  await runDnsCases([{ ...one!, queries }], (report) => {
    if (report.wrong !== undefined) wrong.push(report.query)
  })
  t.same(
    wrong,
    queries.filter(({ type }) => type === 'A').map(({ name }) => `${name} A`),
  )
})
