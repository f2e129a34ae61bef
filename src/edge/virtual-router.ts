import { familyOf, parsePrefix } from '../address/index.js'
import { ValidationError } from '../errors/index.js'
import type { Netns } from '../net/index.js'
import { Rtnetlink } from '../rtnetlink/index.js'
import { VirtualAddresses } from './addresses.js'
import { announce, Announcer, type AnnounceSchedule } from './announcer.js'
import { followHost, Repeatable, retryMilliseconds } from './host-events.js'
import type { Leader } from './leader.js'
import { VrrpLeader } from './vrrp/leader.js'
import type { VrrpOptions } from './vrrp/options.js'

/** Addresses that go with the master. */
export interface VirtualRouterOptions {
  /** The network namespace; the current one if left out. */
  readonly netns?: Netns | undefined
  /** Name of the interface that has the addresses, and that VRRP is spoken on. */
  readonly device: string
  /** With the lengths of their prefixes. The first one's family is that of VRRP; those of the other one go with them. */
  readonly addresses: readonly string[]
  /** VRRP decides. `addresses` are those above, unless said. One of `vrrp` and `leader` is needed. */
  readonly vrrp?:
    | (Omit<VrrpOptions, 'netns' | 'device' | 'addresses'> &
        Partial<Pick<VrrpOptions, 'device' | 'addresses'>>)
    | undefined
  /** Something else decides. It is closed with this. */
  readonly leader?: Leader | undefined
  /** When addresses are announced; false for not at all. */
  readonly announce?: AnnounceSchedule | false | undefined
  /** See `VirtualAddressesOptions`. */
  readonly owner?: number | undefined
  /** What went wrong; it is tried again. */
  readonly onError?: ((error: Error) => void) | undefined
}

/** How it is. */
export interface VirtualRouterStatus {
  /** Whether this host is master. */
  readonly isLeader: boolean
  /** Whether the addresses are on the interface, as far as this process has put them there. */
  readonly hasAddresses: boolean
  /** Addresses of the list that somebody else has put there. */
  readonly foreign: readonly string[]
  /** The last thing that went wrong, until it goes well again. */
  readonly error?: Error | undefined
}

/** Milliseconds: who claims to be master a thousand times is not answered by a thousand announcements. */
const leastBetweenContests = 100

/**
 * Addresses that are on this host's interface while it is master, and are announced when it becomes master. On an orderly stop the
 * others hear of it first, then the addresses go, and nothing else changes. What a killed process has left is taken off at the start,
 * unless this host is master at once.
 */
export class VirtualRouter {
  /** Who decides: to subscribe to, to resign by. */
  readonly leader: Leader
  readonly #options: VirtualRouterOptions
  readonly #addresses: VirtualAddresses
  readonly #rtnetlink: Rtnetlink
  readonly #announcer: Announcer | undefined
  readonly #closing = new AbortController()
  #unsubscribe: (() => void) | undefined
  /** Makes it as the leader has it. */
  readonly #apply = new Repeatable(() => this.#applyOnce(this.leader.isLeader))
  #hasAddresses = false
  #foreign: readonly string[] = []
  #contestedAt = -Infinity
  #error: Error | undefined
  #retry: NodeJS.Timeout | undefined
  #closed: Promise<void> | undefined

  private constructor(
    options: VirtualRouterOptions,
    leader: Leader,
    addresses: VirtualAddresses,
    rtnetlink: Rtnetlink,
  ) {
    this.#options = options
    this.leader = leader
    this.#addresses = addresses
    this.#rtnetlink = rtnetlink
    if (options.announce === false) return
    const plain = addresses.addresses.map((address) => address.split('/')[0]!)
    const tell = (): Promise<void> => announce(options, plain, rtnetlink)
    this.#announcer = new Announcer(tell, options.announce ?? {}, (error) => this.#fail(error))
  }

  /** @throws ValidationError; KernelError where this process may not do it */
  static async start(options: VirtualRouterOptions): Promise<VirtualRouter> {
    const { netns, device, vrrp, owner } = options
    if ((vrrp === undefined) === (options.leader === undefined)) {
      throw new ValidationError('vrrp', vrrp, 'one of vrrp and leader')
    }
    if (options.addresses.length === 0) throw new ValidationError('addresses', [], 'at least one address')
    const addresses = await VirtualAddresses.open({ netns, device, addresses: options.addresses, owner })
    let rtnetlink: Rtnetlink | undefined
    let leader = options.leader
    try {
      rtnetlink = await Rtnetlink.open({ netns })
      // Left by a process that was killed: until it is known who is master, nobody here is.
      if (leader?.isLeader !== true) await addresses.remove()
      leader ??= await VrrpLeader.start({
        addresses: advertised(addresses.addresses),
        ...vrrp!,
        netns,
        device: vrrp!.device ?? device,
      })
    } catch (error) {
      rtnetlink?.close()
      await addresses.close().catch(() => undefined)
      throw error
    }
    const router = new VirtualRouter(options, leader, addresses, rtnetlink)
    router.#unsubscribe = leader.subscribe(({ event }) =>
      event === 'contested' ? router.#announceAgain() : router.#apply.run(),
    )
    router.#follow()
    return router
  }

  /** How it is now. */
  status(): VirtualRouterStatus {
    return {
      isLeader: this.leader.isLeader,
      hasAddresses: this.#hasAddresses,
      foreign: this.#foreign,
      error: this.#error,
    }
  }

  /** Steps down in order: the others hear of it, the addresses go. */
  close(): Promise<void> {
    return (this.#closed ??= this.#close())
  }

  async #close(): Promise<void> {
    await this.leader.close()
    this.#unsubscribe?.()
    this.#closing.abort(new Error('the virtual router is closed'))
    clearTimeout(this.#retry)
    await this.#apply.running
    await this.#announcer?.stop()
    try {
      await this.#addresses.close()
      this.#hasAddresses = false
    } finally {
      this.#rtnetlink.close()
    }
  }

  /** As `close()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #applyOnce(isLeader: boolean): Promise<void> {
    clearTimeout(this.#retry)
    try {
      if (isLeader) {
        const { foreign, changed } = await this.#addresses.put()
        this.#foreign = foreign
        const isNew = !this.#hasAddresses || changed.length > 0
        this.#hasAddresses = true
        this.#error = undefined
        if (isNew) await this.#announcer?.start()
      } else {
        await this.#announcer?.stop()
        this.#foreign = (await this.#addresses.remove()).foreign
        this.#hasAddresses = false
        this.#error = undefined
      }
    } catch (error) {
      this.#fail(error as Error)
      if (this.#closing.signal.aborted) return
      this.#retry = setTimeout(() => void this.#apply.run(), retryMilliseconds)
    }
  }

  /** Another host has just had the addresses, too: neighbours may have learnt them from there. */
  async #announceAgain(): Promise<void> {
    const now = performance.now()
    if (!this.#hasAddresses || now - this.#contestedAt < leastBetweenContests) return
    this.#contestedAt = now
    await this.#announcer?.start()
  }

  #fail(error: Error): void {
    this.#error = error
    this.#options.onError?.(error)
  }

  /** Addresses that somebody takes off while they are to be there come back. */
  #follow(): void {
    const following = { what: ['address'] as const, signal: this.#closing.signal }
    void followHost(
      this.#rtnetlink,
      following,
      async (event) => {
        const isOurs =
          event.event === 'resynchronise' ||
          (event.event === 'gone' &&
            event.kind === 'address' &&
            this.#addresses.addresses.includes(event.object.address))
        if (isOurs && this.#hasAddresses && this.leader.isLeader) await this.#apply.run()
      },
      (error) => this.#fail(error),
    )
  }
}

/** Those of the first one's family, without the lengths. */
function advertised(addresses: readonly string[]): string[] {
  const plain = addresses.map((address) => parsePrefix(address)!.address)
  return plain.filter((address) => familyOf(address) === familyOf(plain[0]!))
}
