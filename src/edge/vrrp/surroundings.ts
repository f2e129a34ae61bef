/** What of the host VRRP stands on: its interface, and the address that it sends from. */
import { type AddressFamily, parsePrefix, prefixContains } from '../../address/index.js'
import type { InterfaceAddress, Rtnetlink } from '../../rtnetlink/index.js'

/** What is asked for. */
export interface SourceWish {
  /** Of the advertisements. */
  readonly family: AddressFamily
  /** Given by the user, in its one spelling. */
  readonly sourceAddress: string | undefined
  /** Virtual ones: they are no host's own. */
  readonly excluded: ReadonlySet<string>
  /** To whom it is sent, unless to the group. */
  readonly peers: readonly string[] | undefined
}

/** An interface that advertisements can be sent from, or why there is none. */
export type Surroundings = { readonly index: number; readonly source: string } | { readonly reason: string }

export async function readSurroundings(
  rtnetlink: Rtnetlink,
  device: string,
  wish: SourceWish,
  current: string | undefined,
): Promise<Surroundings> {
  const link = await rtnetlink.links.find(device)
  if (link === undefined) return { reason: `there is no interface ${device}` }
  if (!link.up) return { reason: `${device} is down` }
  if (!link.flags.includes('lower-up')) return { reason: `${device} has no carrier` }
  const addresses = await rtnetlink.addresses.list({ device: link.index, family: wish.family })
  const source = chooseSource(addresses, wish, current)
  return source === undefined
    ? { reason: `${device} has no address to send from` }
    : { index: link.index, source }
}

/**
 * The primary address (RFC 5798, 1.6): of IPv6 the link-local one, unless peers are sent to; of several the first one, and the
 * one that is in use for as long as it is there.
 */
export function chooseSource(
  addresses: readonly InterfaceAddress[],
  { family, sourceAddress, excluded, peers }: SourceWish,
  current: string | undefined,
): string | undefined {
  const scope = family === 'ipv6' && peers === undefined ? 'link' : 'universe'
  const usable = addresses.filter(
    ({ address, flags }) =>
      !flags.includes('tentative') && !flags.includes('dad-failed') && !excluded.has(plain(address)),
  )
  const known = usable.map(({ address }) => plain(address))
  if (sourceAddress !== undefined) return known.includes(sourceAddress) ? sourceAddress : undefined
  if (current !== undefined && known.includes(current)) return current
  const ofScope = usable.filter((entry) => entry.scope === scope)
  const [peer] = peers ?? []
  const nearest =
    peer === undefined
      ? undefined
      : ofScope.find(({ address }) => prefixContains(parsePrefix(address)!, peer))
  const found = nearest ?? ofScope[0]
  return found && plain(found.address)
}

function plain(address: string): string {
  return address.slice(0, address.indexOf('/'))
}
