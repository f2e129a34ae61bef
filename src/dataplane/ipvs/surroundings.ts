/** Which addresses are the node's, and which of them answer node ports. Pure. */
import { canonicalAddress } from '../../address/index.js'
import { nodePortAddressesOf } from '../ruleset/settings.js'
import type { Surroundings } from './describe.js'
import type { Found } from './reading.js'
import type { Settings } from './settings.js'

export function surroundingsOf(
  settings: Settings,
  { interface: { nodeAddresses } }: Pick<Found, 'interface'>,
  hasTable: boolean,
  foreign: ReadonlySet<string>,
): Surroundings {
  return {
    hasTable,
    // Those that it was not told of, too: what an interface has is not put on ours.
    nodeAddresses: new Set(
      [...nodeAddresses, ...settings.addresses].map((text) => canonicalAddress(text) ?? text),
    ),
    nodePortAddresses: nodePortAddressesOf(settings),
    isForeign: (service) => foreign.has(service),
  }
}
