// The other subpaths: a transport and a table of one's own, links, namespaces.
import { isMalformedMessageError } from 'viaduct'
import { Ipvs } from 'viaduct/ipvs'
import { NetworkNamespace, type Netns } from 'viaduct/net'
import {
  attribute,
  attributeTable,
  type Decoded,
  type Encodable,
  readOnly,
  type Transport,
  u32,
} from 'viaduct/netlink'
import { Rtnetlink } from 'viaduct/rtnetlink'
import type { Equal, Expect } from './assert.js'

const table = attributeTable('EXAMPLE', {
  weight: attribute(4, 'EXAMPLE_WEIGHT', u32),
  active: readOnly(7, 'EXAMPLE_ACTIVE', u32),
})
export type Assertions = [
  Expect<Equal<NonNullable<Decoded<typeof table>['active']>, number>>,
  Expect<Equal<NonNullable<Encodable<typeof table>['weight']>, number>>,
]
export const input: Encodable<typeof table> = { weight: 1 }
// @ts-expect-error what the kernel only tells cannot be set
export const counter: Encodable<typeof table> = { active: 1 }

/** Another package's socket needs only this much. */
export const transport: Transport = {
  exchange: (request, length, kind, deadlineMilliseconds) =>
    Promise.resolve({ bytes: request.subarray(0, length + deadlineMilliseconds), lost: kind === 'batch' }),
  close: () => undefined,
}

export async function open(netns: Netns | undefined): Promise<void> {
  const ipvs = await Ipvs.open({ transport, netns })
  ipvs.close()
  const namespace = NetworkNamespace.create()
  const rtnetlink = await Rtnetlink.open({ netns: namespace })
  rtnetlink.close()
  namespace.close()
}

export const malformed = (error: unknown) => isMalformedMessageError(error) && error.message
