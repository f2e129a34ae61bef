/** Transport protocols that flows are of. */
import { ipProtocols } from '../address/index.js'
import { named, type NameOf, u8 } from '../netlink/index.js'

export const protocol = named(u8, ipProtocols)
/** By name; one without a name here is its number as text (`'89'`), which may also be given. */
export type FlowProtocol = NameOf<typeof protocol>
