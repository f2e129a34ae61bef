/** What manifests of the short form say, and what of it is in the kernel. */
import { rename, writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { Dataplane } from '../../../src/dataplane/index.js'

/** The servers of each address. */
export type Wanted = ReadonlyMap<string, readonly string[]>

/** A service of one port at an address, as a manifest. */
export function shortForm(
  name: string,
  address: string,
  servers: readonly string[],
  targetPort: number,
): string {
  return JSON.stringify({ name, address, ports: [{ port: 80, targetPort }], servers })
}

/** As editors do it: whoever reads sees the old one or the new one. */
export async function replaceFile(folder: string, name: string, text: string): Promise<void> {
  const file = path.join(folder, name)
  await writeFile(`${file}.new`, text)
  await rename(`${file}.new`, file)
}

/** What differs; empty where the kernel has what is wanted, and nothing else. */
export async function differences(dataplane: Dataplane, wanted: Wanted): Promise<string[]> {
  const left = new Map(wanted)
  const found: string[] = []
  for (const { frontends, cluster } of await dataplane.read()) {
    const [frontend] = frontends
    if (frontend?.kind !== 'cluster') continue
    const servers = left.get(frontend.address)
    const has = cluster
      .map(({ address }) => address)
      .sort()
      .join()
    if (servers === undefined) found.push(`${frontend.address} is there`)
    else if ([...servers].sort().join() !== has)
      found.push(`${frontend.address}: ${has}, not ${servers.join()}`)
    left.delete(frontend.address)
  }
  return [...found, ...[...left.keys()].map((address) => `${address} is not there`)]
}
