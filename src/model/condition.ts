/** What is to be said of a service beside that it works. */

/** Something that a service asks for and does not get, or why it is not there at all. */
export interface Condition {
  /** A word for programs: `SchedulerNotHonoured`, `AddressTaken`. */
  readonly reason: string
  /** A sentence for people: what, why, and what to do. */
  readonly message: string
}
