/** Queries over UDP: answered by the batch, each from the address that it was sent to. */
import type { UdpServer } from '../net/index.js'
import { flag, headerBytes } from './query.js'
import { kindOf, type RateLimit } from './rate-limit.js'
import { later, type Responder } from './responder.js'
import type { Tally } from './tally.js'

export interface UdpListenerOptions {
  readonly responder: Responder
  readonly rateLimit: RateLimit | undefined
  readonly tally: Tally
  /** Called before a batch is looked at. */
  readonly refresh: () => void
}

/** Begins to answer. */
export function answerUdp(
  server: UdpServer,
  { responder, rateLimit, tally, refresh }: UdpListenerOptions,
  failed: (error: Error) => void,
): void {
  const { received, sent } = server
  const answerLater = (slot: number, start: number, length: number): void => {
    const peer = server.peer(slot)
    tally.forwarded++
    responder.resolve(received.slice(start, start + length), 'udp').then(
      (answer) => {
        if (answer !== undefined) server.send(answer, peer)
      },
      () => {
        tally.failed++
      },
    )
  }
  const isSent = (slot: number, to: number, length: number, seconds: number): number => {
    if (rateLimit === undefined) return length
    const verdict = rateLimit.judge(server.addressBytes(slot), kindOf(sent, to), seconds)
    if (verdict === 'send') return length
    tally.limited++
    return verdict === 'drop' ? 0 : cut(sent, to, length)
  }
  server.start((_, count) => {
    refresh()
    tally.udp += count
    const seconds = rateLimit === undefined ? 0 : performance.now() / 1000
    for (let slot = 0; slot < count; slot++) {
      const start = server.startOf(slot)
      const length = server.lengthOf(slot)
      const to = server.room
      let written = 0
      try {
        written = responder.respond(received, start, length, 'udp', sent, to)
      } catch {
        tally.failed++
      }
      if (written === later) answerLater(slot, start, length)
      else if (written > 0) written = isSent(slot, to, written, seconds)
      if (written > 0) server.answer(slot, written)
      else if (written === 0) tally.unanswered++
    }
  }, failed)
}

/** The question alone, and that TCP tells more. @returns how long it is */
function cut(answer: Uint8Array, from: number, length: number): number {
  let at = from + headerBytes
  while (at < from + length && answer[at] !== 0) at += answer[at]! + 1
  answer[from + 2]! |= flag.truncated >> 8
  answer.fill(0, from + 6, from + headerBytes)
  return Math.min(at + 5 - from, length)
}
