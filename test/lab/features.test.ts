/** The table feature × kernel tells the truth about the kernel that runs, and leaves no feature untested. */
import t from 'tap'

interface Features {
  readonly kernels: readonly string[]
  readonly features: Readonly<Record<string, { on: Readonly<Record<string, string>> }>>
}
interface Found {
  readonly has: ReadonlySet<string>
  readonly reasons: ReadonlyMap<string, string>
}
const scripts = new URL('../../../scripts/lab/', import.meta.url)
const { loadFeatures, checkFeatures } = (await import(new URL('features.mjs', scripts).href)) as {
  loadFeatures: () => Features
  checkFeatures: (table: Features, kernels?: readonly string[]) => string[]
}
const { probes, probeFeatures, disagreements } = (await import(new URL('probe.mjs', scripts).href)) as {
  probes: Readonly<Record<string, string>>
  probeFeatures: (names?: readonly string[]) => Promise<Found>
  disagreements: (table: Features, kernel: string, found: Found) => string[]
}

/** The lab's name for the kernel that runs; none where the tests run on a machine's own kernel. */
const kernel = process.env['VIADUCT_LAB']

t.test('every feature is probed, and tested on a kernel of the lab', (t) => {
  const table = loadFeatures()
  t.same(Object.keys(table.features).sort(), Object.keys(probes).sort())
  t.same(checkFeatures(table), [])
  t.end()
})

t.test('the running kernel has what the table says', { timeout: 240_000 }, async (t) => {
  const table = loadFeatures()
  if (kernel === undefined) {
    const { has } = await probeFeatures(['ipvs'])
    t.ok(has.has('ipvs'), 'IPVS answers on this kernel, for which the table has no column')
  } else {
    t.same(disagreements(table, kernel, await probeFeatures()), [])
  }
})
