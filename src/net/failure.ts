import { KernelError } from '../errors/index.js'

/** What the addon or node:fs threw, with the operation and its object. Anything that has no errno is passed on. */
export function netError(
  cause: unknown,
  operation: string,
  object?: object,
  hints: Readonly<Record<string, string>> = {},
): unknown {
  const { errno, code } = (cause ?? {}) as { errno?: unknown; code?: unknown }
  if (cause instanceof KernelError || typeof errno !== 'number' || typeof code !== 'string') return cause
  return new KernelError({ errno, operation, object, hint: hints[code], cause })
}

/** Does it, and throws what goes wrong as a KernelError. */
export function attempt<T>(
  operation: string,
  object: object | undefined,
  hints: Readonly<Record<string, string>>,
  work: () => T,
): T {
  try {
    return work()
  } catch (error) {
    throw netError(error, operation, object, hints)
  }
}
