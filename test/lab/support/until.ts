/** Where the kernel tells of no event: looks again until it is so. Fails at the deadline, saying what was waited for. */
export async function until<T>(
  what: string,
  look: () => T | false | undefined | Promise<T | false | undefined>,
  { deadlineSeconds = 20, everyMilliseconds = 20 } = {},
): Promise<NonNullable<T>> {
  const deadline = performance.now() + deadlineSeconds * 1000
  for (;;) {
    const found = await look()
    if (found !== undefined && found !== null && found !== false) return found
    if (performance.now() > deadline) throw new Error(`not within ${deadlineSeconds} s: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, everyMilliseconds))
  }
}
