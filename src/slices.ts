/** Of a slice. Timers and sockets wait no longer than this, and a turn of the loop costs little beside it. */
const sliceMilliseconds = 5
/** Work goes on for about so long between two looks at the clock: in user-mode Linux each is a system call. */
const unseenMilliseconds = 0.5
const fewestSteps = 1
const mostSteps = 1024

/**
 * Long work in slices: when one is over, whoever else has something to do comes first. How many steps go between two
 * looks at the clock is learnt, because the same step takes a hundred times as long in code that is not compiled yet.
 */
export class Slices {
  #until = 0
  #looked = 0
  #steps = fewestSteps
  #left = 0

  constructor() {
    this.#begin()
  }

  /** To be asked after every step. */
  get isOver(): boolean {
    if (--this.#left > 0) return false
    const now = performance.now()
    const took = now - this.#looked
    if (took < unseenMilliseconds) this.#steps = Math.min(this.#steps * 2, mostSteps)
    else if (took > unseenMilliseconds * 4) this.#steps = Math.max(this.#steps >> 2, fewestSteps)
    this.#looked = now
    this.#left = this.#steps
    return now >= this.#until
  }

  /** Whether there is time left now; for steps that are known to be long. */
  get hasTime(): boolean {
    return performance.now() < this.#until
  }

  /** Lets the event loop turn, and begins the next slice. */
  async next(): Promise<void> {
    await immediate()
    this.#begin()
  }

  #begin(): void {
    this.#looked = performance.now()
    this.#until = this.#looked + sliceMilliseconds
    this.#left = this.#steps
  }
}

/** The next turn of the event loop. */
function immediate(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
