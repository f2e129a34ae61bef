import { type AddressFamily, parsePrefix, prefixContains } from '../address/index.js'
import { isKernelError, ValidationError } from '../errors/index.js'
import { type Netns, readSysctl, writeSysctl } from '../net/index.js'
import {
  type InterfaceAddress,
  type InterfaceAddressInput,
  Rtnetlink,
  type Scope,
} from '../rtnetlink/index.js'

/** Addresses, and where they are to be. */
export interface VirtualAddressesOptions {
  /** The network namespace; the current one if left out. */
  readonly netns?: Netns | undefined
  /** Name of the interface. */
  readonly device: string
  /** With the lengths of their prefixes, `192.0.2.10/24`; without one it is the address alone. */
  readonly addresses: readonly string[]
  /** How far they are valid; `universe` unless said. Of IPv4: the kernel chooses that of IPv6 itself. */
  readonly scope?: Scope | undefined
  /**
   * A number from 4 to 255 that nobody else on this interface uses (IFA_PROTO). With one, addresses that bear it and are not in the
   * list are ours, too, left over from an earlier list, and are taken off. Without one the list alone is.
   */
  readonly owner?: number | undefined
}

/** What putting them on, or taking them off, has come to. */
export interface AddressesChange {
  /** Those that are changed by this call. */
  readonly changed: readonly string[]
  /** Those of the list that somebody else has put there: they were left alone. */
  readonly foreign: readonly string[]
}

/** How ours are known again, also by a process that comes after a killed one. 1 to 3 are the kernel's (IFAPROT_*). */
const usualOwner = 118
/**
 * For kernels that do not keep IFA_PROTO (before 5.18): of IPv6, and of IPv4 where there is no room for a label (IFA_RT_PRIORITY,
 * since 4.18). Above what the kernel gives (256, 0), so that others' routes win.
 */
const metricOf = (owner: number): number => 4000 + owner
/** Of IPv4, for the same, and for people; where the name of the interface leaves room (IFNAMSIZ). */
function labelOf(device: string, owner: number): string | undefined {
  const label = `${device}:viaduct${owner === usualOwner ? '' : owner}`
  return label.length <= 15 ? label : undefined
}

/** Whether whoever bears this number has put it there. */
export function bearsMark(
  { protocol, label, metric, family }: InterfaceAddress,
  device: string,
  owner: number,
): boolean {
  if (protocol !== undefined) return protocol === owner
  const ownLabel = family === 'ipv4' ? labelOf(device, owner) : undefined
  return ownLabel === undefined ? metric === metricOf(owner) : label === ownLabel
}

interface Wanted {
  readonly address: string
  readonly family: AddressFamily
}

/**
 * Addresses that a host has at times: put on an interface and taken off again, as often as one likes. Each bears a mark in the kernel
 * (IFA_PROTO, and on older kernels the label or the metric), so that those left by a killed process are known again. What is there
 * without the mark is somebody else's: it is never changed nor taken off.
 *
 * New connections of the host itself prefer its own addresses: IPv6's are put on as deprecated for that, and without duplicate
 * address detection, which would make clients wait a second and give way to a host that is just going.
 */
export class VirtualAddresses {
  /** The list, with the lengths of prefixes. */
  readonly addresses: readonly string[]
  readonly #options: VirtualAddressesOptions
  readonly #wanted: readonly Wanted[]
  readonly #rtnetlink: Rtnetlink
  readonly #protocol: number
  #isClosed = false

  private constructor(options: VirtualAddressesOptions, wanted: readonly Wanted[], rtnetlink: Rtnetlink) {
    this.#options = options
    this.#wanted = wanted
    this.#rtnetlink = rtnetlink
    this.#protocol = options.owner ?? usualOwner
    this.addresses = wanted.map(({ address }) => address)
  }

  /** Changes nothing yet. @throws ValidationError */
  static async open(options: VirtualAddressesOptions): Promise<VirtualAddresses> {
    const { device, addresses, owner } = options
    if (typeof device !== 'string' || device === '') {
      throw new ValidationError('device', device, 'the name of an interface')
    }
    if (owner !== undefined && !(Number.isInteger(owner) && owner >= 4 && owner <= 255)) {
      throw new ValidationError('owner', owner, 'an integer from 4 to 255')
    }
    const wanted = addresses.map((text, index) => readAddress(text, `addresses[${index}]`))
    return new VirtualAddresses(options, wanted, await Rtnetlink.open({ netns: options.netns }))
  }

  /** Puts those on that are not there yet. @throws KernelError (ENODEV) */
  async put(): Promise<AddressesChange> {
    const changed: string[] = []
    const { device } = this.#options
    const there = await this.#rtnetlink.addresses.list({ device })
    await this.#deleteStrays(there)
    const foreign: string[] = []
    for (const { address, family } of this.#wanted) {
      const present = there.find((entry) => entry.address === address)
      if (present !== undefined && !this.#isOurs(present)) foreign.push(address)
      if (present !== undefined) continue
      try {
        await this.#rtnetlink.addresses.add(this.#inputOf(address, family))
        changed.push(address)
      } catch (error) {
        // Somebody was quicker.
        if (!isKernelError(error, 'EEXIST')) throw error
        foreign.push(address)
      }
    }
    return { changed, foreign }
  }

  /** Takes ours off, also those that an earlier process has left. An interface that is gone has none. */
  async remove(): Promise<AddressesChange> {
    const there = await this.#list()
    await this.#deleteStrays(there)
    const changed: string[] = []
    const foreign: string[] = []
    for (const entry of there.filter(({ address }) => this.addresses.includes(address))) {
      if (!this.#isOurs(entry)) foreign.push(entry.address)
      else if (await this.#delete(entry, there)) changed.push(entry.address)
    }
    return { changed, foreign }
  }

  /** Closes, and leaves them where they are: whoever opens the same list again knows them. */
  leave(): void {
    this.#isClosed = true
    this.#rtnetlink.close()
  }

  /** Takes them off, and closes. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    try {
      await this.remove()
    } finally {
      this.leave()
    }
  }

  /** As `close()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #inputOf(address: string, family: AddressFamily): InterfaceAddressInput {
    const { device, scope } = this.#options
    const common = { device, address, protocol: this.#protocol }
    if (family === 'ipv4') {
      const label = labelOf(device, this.#protocol)
      return { ...common, scope, label, metric: label === undefined ? metricOf(this.#protocol) : undefined }
    }
    return { ...common, flags: ['no-dad'], metric: metricOf(this.#protocol), preferredSeconds: 0 }
  }

  #isOurs(entry: InterfaceAddress): boolean {
    return bearsMark(entry, this.#options.device, this.#protocol)
  }

  async #list(): Promise<readonly InterfaceAddress[]> {
    try {
      return await this.#rtnetlink.addresses.list({ device: this.#options.device })
    } catch (error) {
      if (isKernelError(error, 'ENODEV')) return []
      throw error
    }
  }

  /** Those with our own number that are not in the list. */
  async #deleteStrays(there: readonly InterfaceAddress[]): Promise<void> {
    if (this.#options.owner === undefined) return
    for (const entry of there) {
      if (this.#isOurs(entry) && !this.addresses.includes(entry.address)) await this.#delete(entry, there)
    }
  }

  /** False for one that was gone already. */
  async #delete(entry: InterfaceAddress, there: readonly InterfaceAddress[]): Promise<boolean> {
    const { device } = this.#options
    try {
      await this.#keepingSecondaries(entry, there, () =>
        this.#rtnetlink.addresses.delete({ device, address: entry.address }),
      )
      return true
    } catch (error) {
      if (isKernelError(error, 'EADDRNOTAVAIL') || isKernelError(error, 'ENODEV')) return false
      throw error
    }
  }

  /**
   * With the first address of a prefix the kernel deletes the others of it (inet_del_ifa), unless it is told to promote one. It is
   * told for as long as that takes, where one of the others is not ours to delete.
   */
  async #keepingSecondaries(
    entry: InterfaceAddress,
    there: readonly InterfaceAddress[],
    work: () => Promise<void>,
  ): Promise<void> {
    const prefix = parsePrefix(entry.address)!
    const hasOthers =
      entry.family === 'ipv4' &&
      !entry.flags.includes('secondary') &&
      there.some(
        (other) =>
          other !== entry &&
          other.family === 'ipv4' &&
          other.flags.includes('secondary') &&
          prefixContains(prefix, other.address.split('/')[0]!),
      )
    if (!hasOthers) return work()
    const { device, netns } = this.#options
    const name = `net/ipv4/conf/${device}/promote_secondaries`
    const before = readSysctl(name, { netns })
    if (before === '1') return work()
    writeSysctl(name, '1', { netns })
    try {
      await work()
    } finally {
      if (before !== undefined) writeSysctl(name, before, { netns })
    }
  }
}

function readAddress(text: string, path: string): Wanted {
  const prefix = typeof text === 'string' ? parsePrefix(text) : undefined
  if (prefix === undefined) {
    throw new ValidationError(path, text, 'an address, with the length of its prefix where it has one')
  }
  return { address: `${prefix.address}/${prefix.length}`, family: prefix.family }
}
