import { errnoNumber } from '../errors/errno.js'

/** The negative number of `'ENOENT'`, as Linux has it. */
export function errnoOf(code: string): number {
  const errno = errnoNumber(code)
  if (errno === undefined) throw new TypeError(`${code} is no error that Linux knows`)
  return errno
}

/** An error as the addon throws it. */
export function systemError(code: string, syscall: string): Error {
  return Object.assign(new Error(`${code}: ${syscall}`), { code, errno: errnoOf(code), syscall })
}
