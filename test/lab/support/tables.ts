import { Nftables } from '../../../src/nftables/index.js'

/** Whether there are tables of family inet: in user-mode Linux there are none. */
export async function hasTables(options: Parameters<typeof Nftables.open>[0]): Promise<boolean> {
  await using nftables = await Nftables.open(options)
  return await nftables
    .transaction()
    .add('table', { family: 'inet', name: 'probe' })
    .check()
    .then(() => true)
    .catch(() => false)
}
