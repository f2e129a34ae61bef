/** Which tests are scheduled on the kernel that runs, by the table feature × kernel (test/lab/features.json). */
import { writeSync } from 'node:fs'

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

/** Whether the table has a row of this name. */
export function isFeature(name: string): boolean {
  return loadFeatures().features[name] !== undefined
}

const exercised = new Set<string>()

/**
 * Says that a test has used these features on the running kernel: called when it has. Who started the tests compares
 * them with the table (scripts/test/lab.mjs), where a feature that no test used is a failure.
 */
export function uses(...features: readonly string[]): void {
  for (const feature of features) {
    if (!isFeature(feature)) throw new Error(`test/lab/features.json does not know ${feature}`)
    exercised.add(feature)
  }
}

process.on('exit', () => writeSync(2, `features used: ${[...exercised].sort().join(' ')}\n`))
