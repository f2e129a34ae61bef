import { constants } from 'node:os'
import { errnoCode } from '../errors/index.js'

/** The negative number of `'ENOENT'`. */
export function errnoOf(code: string): number {
  const known = (constants.errno as Readonly<Record<string, number>>)[code]
  if (known !== undefined) return -known
  for (let errno = 1; errno < 134; errno++) if (errnoCode(errno) === code) return -errno
  throw new TypeError(`${code} is no error that Linux knows`)
}

/** An error as the addon throws it. */
export function systemError(code: string, syscall: string): Error {
  return Object.assign(new Error(`${code}: ${syscall}`), { code, errno: errnoOf(code), syscall })
}
