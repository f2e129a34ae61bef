/** A datagram, and what comes back. */
import { ValidationError } from '../../errors/index.js'
import { connectUdp, type Datagram, type DatagramSocket } from '../../net/index.js'
import type { RealServer } from '../../model/index.js'
import { resultOfError } from '../classify.js'
import { failed, passed } from '../result.js'
import { type CheckPlace, type Run, socketPlace, type StartCheck, type Target, targetOf } from './check.js'
import { promised } from './promised.js'
import { CheckError } from './resources.js'

/** Sends a datagram and looks at the answer. */
export interface UdpCheck extends CheckPlace {
  /** An answer to a datagram. */
  readonly kind: 'udp'
  /** What is sent; text goes as UTF-8. Empty unless said. */
  readonly payload?: string | Uint8Array | undefined
  /** What must be in the answer: text or bytes, or what an expression finds in it as UTF-8. Anything unless said. */
  readonly answer?: string | Uint8Array | RegExp | undefined
  /**
   * What it means if nothing comes back. `fails` unless said; `passes` where the server does not answer such datagrams: it then
   * fails only if its host says that nobody is there (ICMP), within four fifths of the timeout.
   */
  readonly silence?: 'fails' | 'passes' | undefined
}

export function startUdp(check: UdpCheck, server: RealServer): StartCheck {
  const { payload = '', answer, silence = 'fails' } = check
  const target = targetOf(check, server)
  const request = typeof payload === 'string' ? new TextEncoder().encode(payload) : payload
  if (request.length > 65_507)
    throw new ValidationError('check.payload', request.length, 'at most 65,507 bytes')
  const expected = typeof answer === 'string' ? new TextEncoder().encode(answer) : answer
  return promised((run) =>
    withSocket(target, run, async (socket) => {
      send(socket, request)
      const deadlineMilliseconds = silence === 'passes' ? run.remaining() * 0.8 : undefined
      let datagram: Datagram
      try {
        datagram = await socket.receive({ signal: run.signal, deadlineMilliseconds })
      } catch (error) {
        if (silence === 'passes' && (error as { code?: unknown }).code === 'ETIMEDOUT') return passed
        throw error
      }
      return isExpected(datagram.bytes, expected)
        ? passed
        : failed('wrong-answer', 'the answer is another one')
    }),
  )
}

function isExpected(bytes: Uint8Array, expected: Uint8Array | RegExp | undefined): boolean {
  if (expected === undefined) return true
  const found = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  if (!(expected instanceof RegExp)) return found.includes(Buffer.from(expected))
  return found.toString('utf8').search(expected) !== -1
}

/** With a socket that hears of this target alone, closed at the end. */
export async function withSocket<T>(
  target: Target,
  { signal }: Run,
  work: (socket: DatagramSocket) => Promise<T>,
): Promise<T> {
  let socket: DatagramSocket
  try {
    socket = connectUdp(socketPlace(target))
  } catch (error) {
    throw new CheckError(resultOfError(error, true))
  }
  const close = (): void => socket.close()
  signal.addEventListener('abort', close, { once: true })
  try {
    return await work(socket)
  } finally {
    socket.close()
  }
}

/** What fails at once is this host's doing, but for an ICMP error that came for an earlier datagram. */
export function send(socket: DatagramSocket, bytes: Uint8Array): void {
  try {
    socket.send(bytes)
  } catch (error) {
    throw new CheckError(resultOfError(error, true))
  }
}
