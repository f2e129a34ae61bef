/** Does its host answer echo requests? */
import { isKernelError, type KernelError } from '../../errors/index.js'
import { ping } from '../../net/index.js'
import type { RealServer } from '../../model/index.js'
import { resultOfCode } from '../classify.js'
import { type CheckPlace, socketPlace, type StartCheck, targetOf } from './check.js'
import { promised } from './promised.js'

/** One ICMP echo request, of IPv4 or IPv6: a reply, or an ICMP error about it, decides. Takes a ping socket or CAP_NET_RAW. */
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
      if (!isKernelError(error)) throw error
      const { code, kernelMessage } = error
      // What an ICMP message says is made of numbers and who sent it.
      return isReceiving(error) ? resultOfCode(code, false, kernelMessage) : resultOfCode(code, true)
    }
  })
}

/** Opening and sending fail for what is this host's; what is received may be of another's making. */
function isReceiving({ cause }: KernelError): boolean {
  return isKernelError(cause) && cause.operation === 'datagram.receive'
}
