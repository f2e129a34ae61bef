/**
 * How long the exchanges of one turn of the event loop have held it. An exchange on the loop's own thread is over when
 * it returns, so a program that awaits one after the other only ever runs microtasks: without an end to it, timers and
 * sockets would wait until the last of ten thousand.
 */
export class Turn {
  #began = 0
  /** Exchanges until the clock is read again, and from that time to the next. */
  #until = 0
  #stride = 0
  #next: Promise<void> | undefined

  /** Asked before each exchange. Undefined while there is time; then what to wait for: the next turn. */
  get spent(): Promise<void> | undefined {
    if (this.#next === undefined) {
      this.#next = this.#begin()
      return undefined
    }
    if (--this.#until > 0) return undefined
    if (performance.now() - this.#began >= holdMilliseconds) return this.#next
    this.#stride = Math.min(this.#stride * 2, mostUnseen)
    this.#until = this.#stride
    return undefined
  }

  #begin(): Promise<void> {
    this.#began = performance.now()
    this.#until = this.#stride = 1
    return new Promise((resolve) => {
      setImmediate(() => {
        this.#next = undefined
        resolve()
      })
    })
  }
}

/** One for all connections of a thread: they hold the same loop. */
export const turn = new Turn()

/** As long as a slice of a batch: some hundred requests. An exchange that is under way is not cut short. */
const holdMilliseconds = 8
/** Where there is no vDSO (user-mode Linux), reading the clock is a system call. */
const mostUnseen = 16
