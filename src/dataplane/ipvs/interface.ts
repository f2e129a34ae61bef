/** The interface that virtual addresses are on: a dummy, so that the node takes packets for them as its own. */
import { familyOf } from '../../address/index.js'
import { isKernelError, UnsupportedError } from '../../errors/index.js'
import type { Device, Rtnetlink } from '../../rtnetlink/index.js'
import { formatRecord, parseRecord } from './sysctls.js'

/** What there is of it. */
export interface InterfaceState {
  readonly isThere: boolean
  readonly isUp: boolean
  /** Settings as they were before they were changed. */
  readonly before: Readonly<Record<string, string>>
  /** Of the interface. */
  readonly addresses: readonly string[]
  /**
   * Of all others, in the kernel's order. Not one that ours has, too: it was there first, and comes and goes elsewhere with
   * whoever is master (viaduct/edge).
   */
  readonly nodeAddresses: readonly string[]
  /** Those of them that others reach. */
  readonly reachable: readonly string[]
}

export async function readInterface(rtnetlink: Rtnetlink, name: string): Promise<InterfaceState> {
  const link = await rtnetlink.links.find(name)
  if (link !== undefined && link.kind !== 'dummy') {
    throw new UnsupportedError(
      `the interface ${name}`,
      `its name: there is one of kind ${link.kind ?? 'none'}, which is somebody else's (give the dataplane another \`name\`)`,
    )
  }
  const addresses: string[] = []
  const nodeAddresses: string[] = []
  const reachable: string[] = []
  for (const { device, address, scope } of await rtnetlink.addresses.list()) {
    const plain = address.slice(0, address.indexOf('/'))
    if (device === link?.index) {
      // The link-local one is the kernel's own.
      if (scope === 'universe') addresses.push(plain)
    } else {
      nodeAddresses.push(plain)
      if (scope === 'universe') reachable.push(plain)
    }
  }
  const ours = new Set(addresses)
  const isOthers = (address: string): boolean => !ours.has(address)
  return {
    isThere: link !== undefined,
    isUp: link?.up === true,
    before: parseRecord(link?.alias) ?? {},
    addresses,
    nodeAddresses: nodeAddresses.filter(isOthers),
    reachable: reachable.filter(isOthers),
  }
}

export async function makeInterface(rtnetlink: Rtnetlink, name: string): Promise<void> {
  await rtnetlink.links.add({ kind: 'dummy', name })
}

export async function bringUp(rtnetlink: Rtnetlink, name: string): Promise<void> {
  await rtnetlink.links.set(name, { up: true })
}

export async function record(
  rtnetlink: Rtnetlink,
  name: string,
  before: Readonly<Record<string, string>>,
): Promise<void> {
  await rtnetlink.links.set(name, { alias: formatRecord(before) })
}

export async function addAddress(rtnetlink: Rtnetlink, device: Device, address: string): Promise<void> {
  const isIpv6 = familyOf(address) === 'ipv6'
  try {
    await rtnetlink.addresses.add({
      device,
      address: `${address}/${isIpv6 ? 128 : 32}`,
      // Nobody else is on this wire, and clients do not wait for a detection.
      ...(isIpv6 ? { flags: ['no-dad'] as const } : {}),
    })
  } catch (error) {
    if (!isKernelError(error, 'EEXIST')) throw error
  }
}

export async function deleteAddress(rtnetlink: Rtnetlink, device: string, address: string): Promise<void> {
  try {
    await rtnetlink.addresses.delete({
      device,
      address: `${address}/${familyOf(address) === 'ipv6' ? 128 : 32}`,
    })
  } catch (error) {
    if (!isKernelError(error, 'EADDRNOTAVAIL') && !isKernelError(error, 'ENODEV')) throw error
  }
}
