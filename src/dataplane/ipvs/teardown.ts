import { isKernelError } from '../../errors/index.js'
import { isGone } from '../../ipvs/drain.js'
import { keyOf } from '../../ipvs/input.js'
import { writeSysctl } from '../../net/index.js'
import { formatRecord, parseRecord } from './sysctls.js'
import type { Clients, Found } from './reading.js'
import type { Settings } from './settings.js'

/**
 * Takes away all that is ours: services before what claims them. Settings become what they were, unless another dataplane
 * of this kind works here: then what they were is handed to it. Returns whether there was anything.
 */
export async function tearDown(
  { ipvs, rtnetlink, nftables }: Clients,
  settings: Settings,
  found: Found,
): Promise<boolean> {
  const { device, name: table, netns } = settings
  const { failures } = await ipvs.apply(
    found.entries.map(({ service }) => ({ operation: 'deleteService', service: keyOf(service) })),
  )
  for (const { error } of failures) if (!isGone(error)) throw error
  const { isThere, before } = found.interface
  const links = await rtnetlink.links.list()
  const heir = links.find(({ name, alias }) => name !== device && parseRecord(alias) !== undefined)
  if (heir === undefined)
    for (const [name, value] of Object.entries(before)) writeSysctl(name, value, { netns })
  else {
    const recorded = parseRecord(heir.alias)
    await rtnetlink.links.set(heir.index, { alias: formatRecord({ ...recorded, ...before }) })
  }
  if (isThere) {
    await rtnetlink.links.delete(device).catch((error: unknown) => {
      if (!isKernelError(error, 'ENODEV')) throw error
    })
  }
  if (nftables !== undefined && found.comment !== undefined) {
    await nftables.transaction().delete('table', { family: 'inet', name: table }).commit()
  }
  return isThere || found.entries.length > 0 || found.comment !== undefined
}
