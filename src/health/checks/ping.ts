/** Does its host answer echo requests? */
import { isKernelError } from '../../errors/index.js'
import { ping } from '../../net/index.js'
import type { RealServer } from '../../model/index.js'
import { resultOfError } from '../classify.js'
import { type CheckPlace, socketPlace, type StartCheck, targetOf } from './check.js'
import { promised } from './promised.js'

/** One ICMP echo request, of IPv4 or IPv6. Takes a ping socket or CAP_NET_RAW. */
export interface PingCheck extends Omit<CheckPlace, 'port'> {
  /** ICMP echo. */
  readonly kind: 'ping'
  /** Of the payload; 16 unless said. */
  readonly payloadBytes?: number | undefined
}

export function startPing(check: PingCheck, server: RealServer): StartCheck {
  const place = { ...socketPlace(targetOf(check, server)), payloadBytes: check.payloadBytes }
  return promised(async ({ signal, remaining }) => {
    try {
      const { milliseconds } = await ping({ ...place, signal, deadlineMilliseconds: remaining() })
      return { outcome: 'passed', milliseconds }
    } catch (error) {
      return resultOfError(error, !isReceiving(error))
    }
  })
}

/** Opening and sending fail for what is this host's; what is received may be of another's making. */
function isReceiving(error: unknown): boolean {
  return (
    isKernelError(error, undefined) &&
    isKernelError(error.cause) &&
    error.cause.operation === 'datagram.receive'
  )
}
