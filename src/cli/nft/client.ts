/** What the commands below `viaduct nft` share. */
import { type Family, Nftables } from '../../nftables/index.js'
import { hooks } from '../../nftables/hooks.js'
import type { RunOptions } from '../command.js'

export const program = 'viaduct nft'

export const families = Object.keys(hooks) as readonly Family[]

export function open({ netns, transport }: RunOptions): () => Promise<Nftables> {
  return () => Nftables.open({ netns, transport })
}

/** What is said of events that were lost. */
export const lost = `${program}: events were lost, and it goes on`
