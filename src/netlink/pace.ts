/**
 * How many operations of a batch are sent at once on the event loop's own thread. The kernel handles some hundred
 * thousand a second, so a thread for each send costs more than it gives; but some operations wait in the kernel, for an
 * RCU grace period or for a lock. So it begins small and grows while exchanges stay short, and ends when they were
 * long several times in a row. Once may also be the machine that stopped for a moment: single operations then tell.
 */
export class Pace {
  #messages: number
  /** Exchanges that were, one after the other. */
  #slow = 0

  constructor(
    first: number,
    readonly most: number,
  ) {
    this.#messages = first
  }

  /** How many to send now; 0: what is left goes to a thread. */
  get messages(): number {
    return this.#messages
  }

  /** Whatever is left goes to a thread. */
  stop(): void {
    this.#messages = 0
  }

  /** What the last exchange took. */
  took(messages: number, milliseconds: number): void {
    const fitting = Math.floor((messages * holdMilliseconds) / Math.max(milliseconds, 0.001))
    if (milliseconds <= longMilliseconds && fitting >= fewestMessages) {
      this.#slow = 0
      this.#messages = Math.min(fitting, messages * 4, this.most)
    } else if (++this.#slow < mostSlow) this.#messages = 1
    else this.stop()
  }
}

/** An exchange that holds the event loop is to take about this long at most. */
const holdMilliseconds = 3
/** One that took so long was no matter of how many they were. */
const longMilliseconds = 12
/** Where no more fit, a thread costs less than the exchanges do. */
const fewestMessages = 8
const mostSlow = 3
