import { setMaxListeners } from 'node:events'
import { parseAddress } from '../../address/index.js'
import { isKernelError } from '../../errors/index.js'
import { Rtnetlink, type RtnetlinkEvent } from '../../rtnetlink/index.js'
import { followHost, Repeatable, retryMilliseconds } from '../host-events.js'
import { type Leader, type LeaderListener, LeaderListeners } from '../leader.js'
import { initialState, nextAt, step, type VrrpEvent, type VrrpState } from './machine.js'
import { checkVrrpOptions, effectivePriority, type VrrpOptions, type VrrpSettings } from './options.js'
import type { VrrpFault } from './packet.js'
import { compareBytes, type HeardAdvertisement, VrrpSocket } from './socket.js'
import { readSurroundings, type Surroundings } from './surroundings.js'

/** How a virtual router is, for people and metrics. */
export interface VrrpStatus {
  /** RFC 9568 calls a master `Active`. */
  readonly state: 'initialize' | 'backup' | 'master'
  /** What it counts as now. */
  readonly priority: number
  /** Why it takes no part, in state `initialize`. */
  readonly reason?: string | undefined
  /** That it sends from. */
  readonly source?: string | undefined
  /** The last one that was heard. */
  readonly heard?: { readonly source: string; readonly priority: number } | undefined
  /** Advertisements since it was started. */
  readonly sent: number
  /** Those of this virtual router that count. */
  readonly received: number
  /** What could not be sent. */
  readonly sendFailures: number
  /** Why it could not, the last time. */
  readonly lastSendError?: Error | undefined
  /** What came and did not count, by reason. */
  readonly dropped: Readonly<Partial<Record<VrrpFault, number>>>
}

const longestTimeout = 2 ** 31 - 1

/**
 * A virtual router by VRRP, version 3 (RFC 5798; RFC 9568): of the hosts that are given the same identifier and addresses one is
 * master. It puts no address anywhere: that is what listeners do (`VirtualRouter`).
 *
 * While the interface has no carrier or no address it stands aside, and takes part again when it has. Takes CAP_NET_RAW.
 */
export class VrrpLeader implements Leader {
  readonly #settings: VrrpSettings
  readonly #rtnetlink: Rtnetlink
  readonly #listeners = new LeaderListeners()
  readonly #closing = new AbortController()
  #state: VrrpState
  #surroundings: Surroundings = { reason: 'it has just started' }
  #socket: VrrpSocket | undefined
  #source: Uint8Array | undefined
  #timer: NodeJS.Timeout | undefined
  #retry: NodeJS.Timeout | undefined
  readonly #healthTimer: NodeJS.Timeout | undefined
  #isFaulty = false
  #hasResigned = false
  readonly #look = new Repeatable(() => this.#lookOnce())
  #why = 'another router is master'
  #heard: { readonly source: string; readonly priority: number } | undefined
  #counts = { sent: 0, received: 0, sendFailures: 0 }
  #lastSendError: Error | undefined
  readonly #dropped: Partial<Record<VrrpFault, number>> = {}

  private constructor(settings: VrrpSettings, rtnetlink: Rtnetlink) {
    this.#settings = settings
    this.#rtnetlink = rtnetlink
    this.#state = initialState(settings.priority)
    setMaxListeners(0, this.#closing.signal)
    if (settings.health !== undefined) {
      this.#healthTimer = setInterval(() => this.checkHealth(), settings.intervalCentiseconds * 10)
    }
  }

  /**
   * Takes part from here on, as far as the interface lets it.
   *
   * @throws ValidationError; KernelError where this process may not open raw sockets
   */
  static async start(options: VrrpOptions): Promise<VrrpLeader> {
    const settings = checkVrrpOptions(options)
    const rtnetlink = await Rtnetlink.open({ netns: settings.netns })
    const leader = new VrrpLeader(settings, rtnetlink)
    try {
      leader.#follow()
      leader.checkHealth()
      await leader.#look.run()
    } catch (error) {
      await leader.close()
      throw error
    }
    return leader
  }

  get isLeader(): boolean {
    return this.#listeners.isLeader
  }

  subscribe(listener: LeaderListener): () => void {
    return this.#listeners.subscribe(listener)
  }

  async resign(): Promise<void> {
    this.#hasResigned = true
    this.#adjust('it has resigned')
    await this.#listeners.settled()
  }

  compete(): void {
    if (!this.#hasResigned || this.#closing.signal.aborted) return
    this.#hasResigned = false
    this.#adjust('')
  }

  /** Asks `health` now, for a program that knows of a change. */
  checkHealth(): void {
    const { health, priority } = this.#settings
    if (health === undefined || this.#closing.signal.aborted) return
    let effect: number | 'fault' = 'fault'
    try {
      effect = health()
    } catch {
      // As bad as it can be.
    }
    this.#isFaulty = typeof effect !== 'number' || !Number.isFinite(effect)
    if (!this.#isFaulty) {
      this.#do({ type: 'priority', priority: effectivePriority(priority, effect as number) })
    }
    this.#adjust('its health is at fault')
  }

  /** How it is now. */
  status(): VrrpStatus {
    const { name, priority } = this.#state
    return {
      state: name,
      priority,
      reason: name === 'initialize' ? this.#hindrance() : undefined,
      source: 'source' in this.#surroundings ? this.#surroundings.source : undefined,
      heard: this.#heard,
      ...this.#counts,
      lastSendError: this.#lastSendError,
      dropped: { ...this.#dropped },
    }
  }

  async close(): Promise<void> {
    this.#hasResigned = true
    this.#adjust('it is closed')
    this.#closing.abort(new Error('the leader is closed'))
    clearInterval(this.#healthTimer)
    clearTimeout(this.#retry)
    this.#socket?.close()
    this.#socket = undefined
    await this.#listeners.settled()
    await this.#look.running?.catch(() => undefined)
    this.#rtnetlink.close()
  }

  /** As `close()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** Why it takes no part; undefined if it does. */
  #hindrance(): string | undefined {
    if (this.#hasResigned) return 'it has resigned'
    if (this.#isFaulty) return 'its health is at fault'
    if ('reason' in this.#surroundings) return this.#surroundings.reason
    return this.#socket === undefined ? 'its socket is closed' : undefined
  }

  /** Takes part if nothing is in the way. @param reason of a loss */
  #adjust(reason: string): void {
    if (this.#hindrance() === undefined) this.#do({ type: 'startup' })
    else {
      this.#why = reason
      this.#do({ type: 'shutdown' })
    }
  }

  #do(event: VrrpEvent): void {
    const { state, actions } = step(this.#settings, this.#state, event, performance.now())
    this.#state = state
    for (const action of actions) {
      if (action.type === 'advertise') this.#send(action.priority)
      else if (action.type === 'lost') this.#listeners.tell({ event: 'lost', reason: this.#why })
      else this.#listeners.tell({ event: action.type })
    }
    this.#arm()
  }

  #arm(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const due = nextAt(this.#state)
    if (due === undefined) return
    const wait = Math.min(Math.max(0, Math.ceil(due - performance.now())), longestTimeout)
    // What came while the process was held up is read first, or a backup would take over from a master that it has yet to hear:
    // sockets come between timers and immediates.
    this.#timer = setTimeout(() => setImmediate(() => this.#do({ type: 'time' })), wait)
  }

  #send(priority: number): void {
    const { virtualRouterId, intervalCentiseconds, addresses } = this.#settings
    try {
      this.#socket?.send({ virtualRouterId, priority, intervalCentiseconds, addresses })
      this.#counts.sent++
    } catch (error) {
      this.#counts.sendFailures++
      this.#lastSendError = error as Error
    }
  }

  #hear({ source, priority, intervalCentiseconds }: HeardAdvertisement): void {
    this.#counts.received++
    this.#heard = { source, priority }
    this.#why = `${source} is master, with priority ${priority}`
    const isFromHigherAddress = compareBytes(parseAddress(source)!, this.#source!) > 0
    this.#do({ type: 'advertisement', priority, intervalCentiseconds, isFromHigherAddress })
  }

  /** Links and addresses that change. */
  #follow(): void {
    const following = { what: ['link', 'address'] as const, signal: this.#closing.signal }
    void followHost(this.#rtnetlink, following, async (event) => {
      if (this.#concerns(event)) await this.#look.run()
    })
  }

  #concerns(event: RtnetlinkEvent): boolean {
    if (event.event === 'resynchronise' || !('index' in this.#surroundings)) return true
    const { index } = this.#surroundings
    if (event.kind === 'link')
      return event.object.index === index || event.object.name === this.#settings.device
    return event.kind === 'address' && event.object.device === index
  }

  async #lookOnce(): Promise<void> {
    if (this.#closing.signal.aborted) return
    const { device, addresses, peers, sourceAddress, family } = this.#settings
    const before = this.#surroundings
    const wish = { family, sourceAddress, peers, excluded: new Set(addresses) }
    const current = 'source' in before ? before.source : undefined
    const now = await readSurroundings(this.#rtnetlink, device, wish, current)
    if (this.#closing.signal.aborted) return
    const isSame =
      this.#socket !== undefined &&
      'source' in before &&
      'source' in now &&
      before.source === now.source &&
      before.index === now.index
    if (isSame) return
    this.#surroundings = now
    if ('reason' in now) this.#adjust(now.reason)
    else if (this.#state.name !== 'initialize') {
      this.#why = 'its interface is another one'
      this.#do({ type: 'shutdown' })
    }
    this.#socket?.close()
    this.#socket = undefined
    if (!('source' in now)) return
    this.#source = parseAddress(now.source)
    try {
      this.#socket = this.#open(now)
    } catch (error) {
      // It went between looking and opening: its end is told. What else it is, is the caller's to know.
      if (isKernelError(error, 'ENODEV') || isKernelError(error, 'ENXIO')) return
      throw error
    }
    this.#adjust('')
  }

  #open({ source, index }: { readonly source: string; readonly index: number }): VrrpSocket {
    return new VrrpSocket(this.#settings, source, index, {
      heard: (advertisement) => this.#hear(advertisement),
      dropped: (fault) => (this.#dropped[fault] = (this.#dropped[fault] ?? 0) + 1),
      failed: (error) => {
        this.#lastSendError = error
        this.#socket = undefined
        this.#adjust('its socket has failed')
        // The interface may well be there: nothing else would tell.
        this.#retry = setTimeout(() => void this.#look.run().catch(() => undefined), retryMilliseconds)
      },
    })
  }
}
