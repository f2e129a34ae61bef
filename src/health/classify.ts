/** Errors of sockets as results: what is the server's doing, and what is ours. */
import { errnoCode } from '../errors/index.js'
import { type BlockReason, failed, type FailureReason, notRun, type CheckResult } from './result.js'

/**
 * Of the call itself, before any packet came back. ENETUNREACH and EHOSTUNREACH are this host's routes then; the same two
 * numbers later come of an ICMP message, or of a link on which nobody answers for the address: that is the server.
 */
const blocked: Readonly<Record<string, BlockReason>> = {
  ENETUNREACH: 'no-route',
  EHOSTUNREACH: 'no-route',
  ENETDOWN: 'no-route',
  EACCES: 'no-permission',
  EPERM: 'no-permission',
  EADDRNOTAVAIL: 'no-address',
  EAFNOSUPPORT: 'no-address',
  EADDRINUSE: 'no-resources',
  EAGAIN: 'no-resources',
  EMFILE: 'no-resources',
  ENFILE: 'no-resources',
  ENOBUFS: 'no-resources',
  ENOMEM: 'no-resources',
}
/** As above, whenever they come: no server can make them. */
const alwaysBlocked = new Set(['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM', 'ENETDOWN', 'EPERM', 'EADDRNOTAVAIL'])

const failures: Readonly<Record<string, FailureReason>> = {
  ECONNREFUSED: 'refused',
  ETIMEDOUT: 'timed-out',
  ECONNRESET: 'reset',
  EPIPE: 'reset',
  ECONNABORTED: 'reset',
  ENETUNREACH: 'unreachable',
  EHOSTUNREACH: 'unreachable',
  EHOSTDOWN: 'unreachable',
  ENONET: 'unreachable',
  // ICMP: communication prohibited, by a firewall on the way.
  EACCES: 'unreachable',
  EPROTO: 'malformed',
  ENOPROTOOPT: 'refused',
}

/**
 * @param code `ECONNREFUSED`
 * @param isLocal  it was the call that failed (socket, bind, connect, send), and not what came back
 */
export function resultOfCode(code: string, isLocal: boolean, message = code): CheckResult {
  if (isLocal && code !== 'ECONNREFUSED') return notRun(blocked[code] ?? 'error', message)
  if (alwaysBlocked.has(code)) return notRun(blocked[code] ?? 'error', message)
  return failed(failures[code] ?? 'reset', message)
}

/** @param errno negative */
export function resultOfErrno(errno: number, isLocal: boolean): CheckResult {
  return resultOfCode(errnoCode(errno), isLocal)
}

/** Of an error with a `code`, as Node's and ours are. */
export function resultOfError(error: unknown, isLocal = false): CheckResult {
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown }
  if (typeof code !== 'string') return failed('reset', String(message ?? error))
  // A message may hold what the caller gave; the code is enough.
  return resultOfCode(code, isLocal)
}
