import { setImmediate } from 'node:timers/promises'

const sliceMilliseconds = 8
/** Of what is done in between, so many take far less than a slice. Where reading the clock is a system call it counts. */
const stepsBetweenLooks = 64

/** Long work in slices: when one is over, whoever else has something to do comes first. */
export class Turns {
  #steps = 0
  #until = performance.now() + sliceMilliseconds

  /** To be asked at every step. */
  get isOver(): boolean {
    return (++this.#steps & (stepsBetweenLooks - 1)) === 0 && performance.now() > this.#until
  }

  async next(): Promise<void> {
    await setImmediate()
    this.#until = performance.now() + sliceMilliseconds
  }
}
