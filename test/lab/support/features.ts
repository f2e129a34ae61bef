/** Which tests are scheduled on the kernel that runs, by the table feature × kernel (test/lab/features.json). */
interface Scripts {
  loadFeatures: () => { readonly features: Readonly<Record<string, { readonly on: Record<string, string> }>> }
  probeFeatures: (names: readonly string[]) => Promise<{ readonly has: ReadonlySet<string> }>
}

const scripts = new URL('../../../../scripts/lab/', import.meta.url)
const { loadFeatures } = (await import(new URL('features.mjs', scripts).href)) as Scripts
const { probeFeatures } = (await import(new URL('probe.mjs', scripts).href)) as Scripts

/** The lab's name for the kernel that runs; none where the tests run on a machine's own kernel, which is probed. */
const kernel = process.env['VIADUCT_LAB']

/** Whether a feature is there. What a kernel lacks by its build is not scheduled there: no test, and no skip. */
export async function isHere(feature: string): Promise<boolean> {
  const row = loadFeatures().features[feature]
  if (row === undefined) throw new Error(`test/lab/features.json does not know ${feature}`)
  if (kernel === undefined) return (await probeFeatures([feature])).has.has(feature)
  return row.on[kernel] !== 'lacks'
}
