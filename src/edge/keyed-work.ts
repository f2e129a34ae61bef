/** Work for each of many things: one never waits for another's answer, and what failed is tried again, each time later. */
import { setMaxListeners } from 'node:events'
import { Backoff } from '../reconciler/backoff.js'

/** How it is done. */
export interface KeyedWorkOptions {
  /** The signal is aborted when it has taken too long, and at the end. */
  readonly work: (key: string, signal: AbortSignal) => Promise<void>
  /** It was done, or has failed. */
  readonly answered: (key: string) => void
  /** What takes longer has failed. */
  readonly deadlineMilliseconds: number
}

interface State {
  isDue: boolean
  isRunning: boolean
  /** Nobody asks for it any more: it goes when it is done. */
  isForgotten: boolean
  readonly backoff: Backoff
  timer: NodeJS.Timeout | undefined
  /** Undefined: not yet. Null: done. */
  outcome: Error | null | undefined
}

/** So many are asked at once: others may stand behind it who do not like to be asked for thousands. */
const mostAtOnce = 16

/** Never twice at once for the same thing: who asks for it meanwhile has it done once more. */
export class KeyedWork {
  readonly #options: KeyedWorkOptions
  readonly #states = new Map<string, State>()
  /** Those that are due and not begun, in their order. */
  readonly #queue = new Set<string>()
  readonly #closing = new AbortController()
  #running = 0

  constructor(options: KeyedWorkOptions) {
    this.#options = options
    setMaxListeners(mostAtOnce, this.#closing.signal)
  }

  /** It is to be done, as soon as may be. */
  request(key: string): void {
    if (this.#closing.signal.aborted) return
    let state = this.#states.get(key)
    if (state === undefined) {
      const backoff = new Backoff()
      const outcome = undefined
      state = { isDue: false, isRunning: false, isForgotten: false, backoff, timer: undefined, outcome }
      this.#states.set(key, state)
    }
    clearTimeout(state.timer)
    state.isDue = true
    state.isForgotten = false
    if (!state.isRunning) this.#queue.add(key)
    this.#begin()
  }

  /** What has failed is tried again now: something else is free. */
  requestFailed(): void {
    for (const [key, { outcome }] of this.#states) if (outcome instanceof Error) this.request(key)
  }

  /** Whether it has failed, or is still to be done. */
  isOpen(key: string): boolean {
    const state = this.#states.get(key)
    return state !== undefined && (state.isDue || state.isRunning || state.outcome instanceof Error)
  }

  /** Why it failed the last time. */
  errorOf(key: string): Error | undefined {
    return this.#states.get(key)?.outcome ?? undefined
  }

  /** Nothing of it is to be done any more. */
  forget(key: string): void {
    const state = this.#states.get(key)
    if (state === undefined) return
    clearTimeout(state.timer)
    this.#queue.delete(key)
    state.isDue = false
    state.isForgotten = true
    state.outcome = undefined
    if (!state.isRunning) this.#states.delete(key)
  }

  /** What is under way is given up. */
  close(): void {
    this.#closing.abort(new Error('closed'))
    for (const key of [...this.#states.keys()]) this.forget(key)
  }

  #begin(): void {
    for (const key of this.#queue) {
      if (this.#running >= mostAtOnce) return
      this.#queue.delete(key)
      this.#running++
      void this.#run(key, this.#states.get(key)!)
    }
  }

  async #run(key: string, state: State): Promise<void> {
    state.isDue = false
    state.isRunning = true
    const outcome = await this.#attempt(key)
    state.isRunning = false
    this.#running--
    if (state.isForgotten) this.#states.delete(key)
    else {
      state.outcome = outcome
      if (state.isDue) this.#queue.add(key)
      else if (state.outcome === null) state.backoff.succeed()
      else state.timer = setTimeout(() => this.request(key), state.backoff.fail())
      this.#options.answered(key)
    }
    this.#begin()
  }

  /** What does not look at the signal is left alone: its answer is nobody's. */
  async #attempt(key: string): Promise<Error | null> {
    const { work, deadlineMilliseconds } = this.#options
    const controller = new AbortController()
    const { signal } = controller
    const abort = (): void => controller.abort(this.#closing.signal.reason)
    const late = new Error(`no answer within ${deadlineMilliseconds} ms`)
    const timer = setTimeout(() => controller.abort(late), deadlineMilliseconds)
    this.#closing.signal.addEventListener('abort', abort, { once: true })
    try {
      await Promise.race([work(key, signal), rejection(signal)])
      return null
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error))
    } finally {
      clearTimeout(timer)
      this.#closing.signal.removeEventListener('abort', abort)
      controller.abort(new Error('it is over'))
    }
  }
}

function rejection(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
  })
}
