/** How commands end, as ipvsadm does. */

/** The kernel refused a change; an option is unknown. */
export const exitRefused = 255
/** What was to be shown cannot be read. */
export const exitFailed = 1
/** The arguments cannot be meant, or nothing can be done here at all. */
export const exitUsage = 2

/** A command that cannot go on: what goes to standard error, and how it ends. */
export class UsageError extends Error {
  override readonly name = 'UsageError'

  constructor(
    message: string,
    readonly exitCode: number,
  ) {
    super(message)
  }
}
