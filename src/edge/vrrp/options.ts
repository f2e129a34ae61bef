/** What VRRP is told, checked. */
import { type AddressFamily, canonicalAddress, familyOf } from '../../address/index.js'
import { ValidationError } from '../../errors/index.js'
import type { Netns } from '../../net/index.js'
import { longestInterval, ownerPriority, type VrrpChecksum } from './packet.js'

/**
 * How well this host is: by how much its priority is lowered, 0 for well; or `'fault'`: it is not to be master at all, and stands
 * aside until it is better.
 */
export type HealthEffect = number | 'fault'

/** A virtual router on one interface, for one family of addresses. */
export interface VrrpOptions {
  /** The network namespace; the current one if left out. */
  readonly netns?: Netns | undefined
  /** Name of the interface that the routers hear each other on. */
  readonly device: string
  /** 1 to 255: the same for all routers of this virtual router, and of no other on this network. */
  readonly virtualRouterId: number
  /** Virtual addresses that are advertised, without the length of a prefix: 1 to 255, of one family. The same on all routers. */
  readonly addresses: readonly string[]
  /** 1 to 254: the highest one is master. 255 is for the host that has the addresses as its own. 100 unless said. */
  readonly priority?: number | undefined
  /** Hundredths of a second between two advertisements, 1 to 4095; 100 unless said. Takes over after three of them and a bit. */
  readonly intervalCentiseconds?: number | undefined
  /** Takes over from a master of a lower priority; true unless said. */
  readonly preempt?: boolean | undefined
  /** For so long such a master is left alone; 0 unless said. */
  readonly preemptDelayMilliseconds?: number | undefined
  /** Other routers, to send to each of them instead of to the group. Advertisements of others are not listened to then. */
  readonly peers?: readonly string[] | undefined
  /**
   * With `peers`: how many hops an advertisement must have left of 255; 1 unless said, for keepalived sends to peers of IPv6 with
   * the host's usual 64. Where all are on this network and send 255, as this one does, 255 keeps everybody else out. Without
   * `peers` it is 255 in any case (RFC 5798, 7.1).
   */
  readonly leastHopLimit?: number | undefined
  /** To send from; the first address of the interface (of IPv6 the link-local one) unless said. */
  readonly sourceAddress?: string | undefined
  /** Of IPv4; `with-pseudo-header` unless said. What is received may have either. */
  readonly checksum?: VrrpChecksum | undefined
  /** Asked once an interval, and by `checkHealth()`. What it throws, or a number that is none, counts as `'fault'`. */
  readonly health?: (() => HealthEffect) | undefined
}

/** The same, complete and in one spelling. */
export interface VrrpSettings extends VrrpOptions {
  readonly family: AddressFamily
  readonly priority: number
  readonly intervalCentiseconds: number
  readonly preempt: boolean
  readonly preemptDelayMilliseconds: number
  readonly leastHopLimit: number
  readonly checksum: VrrpChecksum
}

/** @throws ValidationError */
export function checkVrrpOptions(options: VrrpOptions): VrrpSettings {
  const { device, virtualRouterId, priority = 100, intervalCentiseconds = 100, checksum } = options
  const { preempt = true, preemptDelayMilliseconds = 0, leastHopLimit = 1, health } = options
  if (typeof device !== 'string' || !/^[^/\s\0]{1,15}$/.test(device)) {
    throw new ValidationError('device', device, 'the name of an interface, of at most 15 bytes')
  }
  checkNumber('virtualRouterId', virtualRouterId, 1, 255)
  checkNumber('priority', priority, 1, ownerPriority)
  checkNumber('intervalCentiseconds', intervalCentiseconds, 1, longestInterval)
  checkNumber('preemptDelayMilliseconds', preemptDelayMilliseconds, 0, 86_400_000)
  checkNumber('leastHopLimit', leastHopLimit, 1, 255)
  if (typeof preempt !== 'boolean') throw new ValidationError('preempt', preempt, 'true or false')
  if (health !== undefined && typeof health !== 'function') {
    throw new ValidationError('health', health, 'a function')
  }
  if (checksum !== undefined && checksum !== 'with-pseudo-header' && checksum !== 'without-pseudo-header') {
    throw new ValidationError('checksum', checksum, "'with-pseudo-header' or 'without-pseudo-header'")
  }
  const addresses = readList('addresses', options.addresses)
  const family = familyOf(addresses[0]!)
  const ofFamily = (path: string, address: string): void => {
    if (familyOf(address) !== family) throw new ValidationError(path, address, `an address of ${family}`)
  }
  for (const [index, address] of addresses.entries()) ofFamily(`addresses[${index}]`, address)
  const peers = options.peers === undefined ? undefined : readList('peers', options.peers)
  for (const [index, address] of (peers ?? []).entries()) ofFamily(`peers[${index}]`, address)
  const sourceAddress =
    options.sourceAddress === undefined ? undefined : read('sourceAddress', options.sourceAddress)
  if (sourceAddress !== undefined) ofFamily('sourceAddress', sourceAddress)
  return {
    ...options,
    addresses,
    family,
    peers,
    sourceAddress,
    priority,
    intervalCentiseconds,
    preempt,
    preemptDelayMilliseconds,
    leastHopLimit: peers === undefined ? 255 : leastHopLimit,
    checksum: checksum ?? 'with-pseudo-header',
  }
}

/** What it counts as: the owner's stays, others stay between 1 and 254. */
export function effectivePriority(priority: number, lowered: number): number {
  return priority === ownerPriority ? priority : Math.min(254, Math.max(1, Math.round(priority - lowered)))
}

export function checkNumber(path: string, value: unknown, least: number, most: number): void {
  if (Number.isInteger(value) && (value as number) >= least && (value as number) <= most) return
  throw new ValidationError(path, value, `an integer from ${least} to ${most}`)
}

function readList(path: string, list: readonly string[]): readonly string[] {
  if (!Array.isArray(list) || list.length === 0 || list.length > 255) {
    throw new ValidationError(path, list, '1 to 255 addresses')
  }
  return (list as readonly string[]).map((address, index) => read(`${path}[${index}]`, address))
}

function read(path: string, text: unknown): string {
  const address = typeof text === 'string' ? canonicalAddress(text) : undefined
  if (address === undefined) throw new ValidationError(path, text, 'an IPv4 or IPv6 address')
  return address
}
