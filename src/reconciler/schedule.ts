/**
 * When work is done: at once where there was none lately, else when the pause after the last is over; what comes meanwhile is
 * done together. One piece of work at a time.
 */
export class Schedule {
  readonly #pause: number
  readonly #work: () => Promise<void>
  #isDue = false
  #isBusy = false
  #isClosed = false
  #notBefore = -Infinity
  #timer: NodeJS.Timeout | undefined

  readonly #idle: () => void

  /** `work` does everything that is due, and handles its own errors; `idle` is called when nothing is due after it. */
  constructor(pauseMilliseconds: number, work: () => Promise<void>, idle: () => void) {
    this.#pause = pauseMilliseconds
    this.#work = work
    this.#idle = idle
  }

  /** Whether it is going to do something, or does it. */
  get isActive(): boolean {
    return this.#isDue || this.#isBusy
  }

  /** There is something to do. */
  request(): void {
    if (this.#isDue || this.#isClosed) return
    this.#isDue = true
    if (!this.#isBusy) this.#start()
  }

  #start(): void {
    const wait = this.#notBefore - performance.now()
    // What a program gives in one go comes together, also what it awaits from a source that has it already.
    if (wait <= 0) setImmediate(() => void this.#run())
    else this.#timer = setTimeout(() => void this.#run(), Math.ceil(wait))
  }

  async #run(): Promise<void> {
    if (!this.#isDue || this.#isClosed) return
    this.#isDue = false
    this.#isBusy = true
    try {
      await this.#work()
    } finally {
      this.#isBusy = false
      this.#notBefore = performance.now() + this.#pause
      if (this.#isDue) this.#start()
      else this.#idle()
    }
  }

  close(): void {
    this.#isClosed = true
    this.#isDue = false
    clearTimeout(this.#timer)
  }
}
