/** What the commands below `viaduct nft` share. */
import { type Family, Nftables } from '../../nftables/index.js'
import { hooks } from '../../nftables/hooks.js'
import type { RunOptions } from '../command.js'
import type { OptionRow } from '../options.js'

export const program = 'viaduct nft'

export const families = Object.keys(hooks) as readonly Family[]

export function open({ netns, transport }: RunOptions): () => Promise<Nftables> {
  return () => Nftables.open({ netns, transport })
}

/** What is said of events that were lost. */
export const lost = `${program}: events were lost, and it goes on`

/** Of `list`, beside those that all have. */
export const listOptions: readonly OptionRow[] = [
  { name: 'handle', short: 'a', help: 'of list: with the number of each object behind it' },
]
