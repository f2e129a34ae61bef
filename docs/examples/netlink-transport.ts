/**
 * The npm package `netlink` behind viaduct's Transport, for programs that have it already:
 *
 *     new Connection(netlinkTransport(new netlink.RawNetlinkSocket(NETLINK_GENERIC)))
 *
 * What it lacks beside the addon's own socket, as measured with version 0.3.0 (docs/decisions.md):
 * - every request takes a turn of the event loop: there is no synchronous exchange;
 * - no network namespaces: it speaks to the one that the process is in;
 * - no extended acknowledgements (the kernel's words and the place of a bad attribute), no forced buffer sizes: a batch
 *   in which hundreds of operations fail overruns the receive buffer;
 * - and on an overrun (ENOBUFS) it aborts the process, so keep batches small.
 */
import type netlink from 'netlink'
import { forEachMessage, type Replies, type RequestKind, type Transport, viewOf } from 'viaduct/netlink'

const NLM_F_ACK = 4
const NLMSG_ERROR = 2
const NLMSG_DONE = 3
const NLMSG_HDRLEN = 16

/** The socket is the transport's from here on: `close()` closes it. */
export function netlinkTransport(socket: netlink.RawNetlinkSocket): Transport {
  let waiting: Waiting | undefined
  let isBusy = false
  let isClosed = false
  socket.on('message', (datagram, sender) => {
    // Another process may send to this port. The kernel is port 0.
    if (waiting === undefined || sender.port !== 0) return
    // What is thrown within the package's callback ends the process.
    try {
      waiting.take(datagram)
    } catch (error) {
      waiting.reject(error as Error)
    }
  })
  socket.on('error', (error) => waiting?.reject(asNodeHasIt(error)))

  /** Sends bytes and collects datagrams until one holds an answer of these types to this sequence number. */
  async function roundTrip({ bytes, sequence, types }: Part, milliseconds: number): Promise<Uint8Array[]> {
    const collected: Uint8Array[] = []
    let timer: NodeJS.Timeout | undefined
    try {
      await new Promise<void>((resolve, reject) => {
        const take = (datagram: Uint8Array): void => {
          collected.push(datagram)
          forEachMessage(datagram, viewOf(datagram), (type, _flags, answered) => {
            if (answered === sequence && types.includes(type)) resolve()
          })
        }
        waiting = { take, reject }
        timer = setTimeout(() => reject(systemError('ETIMEDOUT', -110, 'recvmsg')), milliseconds)
        socket.send(bytes, {}, (error) => error && reject(asNodeHasIt(error)))
      })
      return collected
    } finally {
      clearTimeout(timer)
      waiting = undefined
    }
  }

  return {
    async exchange(
      request: Uint8Array,
      length: number,
      kind: RequestKind,
      deadlineMilliseconds: number,
    ): Promise<Replies> {
      if (isBusy) throw systemError('EBUSY', -16, 'sendmsg')
      isBusy = true
      // One deadline for the whole exchange, however many dumps are in it.
      const latest = performance.now() + deadlineMilliseconds
      const collected: Uint8Array[] = []
      try {
        // The caller may write over its request as soon as this returns, and the package sends later.
        for (const part of partsOf(request.slice(0, length), kind)) {
          if (isClosed) throw systemError('EBADF', -9, 'sendmsg')
          collected.push(...(await roundTrip(part, latest - performance.now())))
        }
      } finally {
        isBusy = false
      }
      return { bytes: Buffer.concat(collected), lost: false }
    },
    close() {
      if (isClosed) return
      isClosed = true
      socket.close()
      waiting?.reject(systemError('ECANCELED', -125, 'close'))
    },
  }
}

interface Waiting {
  take(datagram: Uint8Array): void
  reject(error: Error): void
}

/** What is sent with one `send`, and what tells that its answer is complete. */
interface Part {
  readonly bytes: Uint8Array
  readonly sequence: number
  readonly types: readonly number[]
}

/** Dumps go one by one; a batch as one, whose last acknowledgement is waited for. */
function partsOf(bytes: Uint8Array, kind: RequestKind): Part[] {
  const messages = messagesOf(bytes)
  if (kind === 'dumps') {
    return messages.map(({ start, end, sequence }) => ({
      bytes: bytes.subarray(start, end),
      sequence,
      types: [NLMSG_DONE, NLMSG_ERROR],
    }))
  }
  const last = messages.findLast(({ flags }) => (flags & NLM_F_ACK) !== 0)
  return last === undefined ? [] : [{ bytes, sequence: last.sequence, types: [NLMSG_ERROR] }]
}

function messagesOf(bytes: Uint8Array): { start: number; end: number; sequence: number; flags: number }[] {
  const messages: { start: number; end: number; sequence: number; flags: number }[] = []
  forEachMessage(bytes, viewOf(bytes), (_type, flags, sequence, offset, end) => {
    messages.push({ start: offset - NLMSG_HDRLEN, end, sequence, flags })
  })
  return messages
}

/** Connection makes a KernelError of it, with the operation and its object. */
function systemError(code: string, errno: number, syscall: string): Error {
  return Object.assign(new Error(`${syscall}: ${code}`), { code, errno, syscall })
}

/** The package's error numbers are positive. */
function asNodeHasIt(error: netlink.ErrnoException): Error {
  return systemError(error.code, -Math.abs(error.errno), error.syscall)
}
