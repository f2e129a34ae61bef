/**
 * The npm package `netlink` behind viaduct's Transport, for programs that have it already.
 *
 * What it lacks beside the addon's own socket, as measured with version 0.3.0 (docs/decisions.md):
 * - every request takes a turn of the event loop: there is no synchronous exchange;
 * - no network namespaces: it speaks to the one that the process is in;
 * - no extended acknowledgements (the kernel's words and the place of a bad attribute), no forced buffer sizes: a batch
 *   in which hundreds of operations fail overruns the receive buffer;
 * - and on an overrun (ENOBUFS) it aborts the process, so keep batches small.
 */
import netlink from 'netlink'
import { forEachMessage, type Replies, type RequestKind, type Transport, viewOf } from 'viaduct/netlink'

const NLM_F_ACK = 4
const NLMSG_ERROR = 2
const NLMSG_DONE = 3

export function netlinkTransport(protocol: number): Transport {
  const socket = new netlink.RawNetlinkSocket(protocol)
  let waiting: ((datagram: Uint8Array) => void) | undefined
  let failed: ((error: Error) => void) | undefined
  socket.on('message', (datagram) => waiting?.(datagram))
  socket.on('error', (error) => failed?.(error))

  /** Sends bytes and collects datagrams until one holds an answer of these types to this sequence number. */
  function roundTrip(
    bytes: Uint8Array,
    until: number,
    types: readonly number[],
    deadline: number,
  ): Promise<Uint8Array[]> {
    return new Promise((resolve, reject) => {
      const collected: Uint8Array[] = []
      const end = (error?: Error): void => {
        clearTimeout(timer)
        waiting = failed = undefined
        if (error === undefined) resolve(collected)
        else reject(error)
      }
      const timer = setTimeout(
        () =>
          end(Object.assign(new Error('no answer'), { code: 'ETIMEDOUT', errno: -110, syscall: 'recvmsg' })),
        deadline,
      )
      failed = end
      waiting = (datagram) => {
        collected.push(datagram)
        forEachMessage(datagram, viewOf(datagram), (type, _flags, sequence) => {
          if (sequence === until && types.includes(type)) end()
        })
      }
      socket.send(bytes, {}, (error) => error && end(error))
    })
  }

  return {
    async exchange(
      request: Uint8Array,
      length: number,
      kind: RequestKind,
      deadline: number,
    ): Promise<Replies> {
      // The caller may write over its request as soon as this returns, and the package sends later.
      const bytes = request.slice(0, length)
      const collected: Uint8Array[] = []
      if (kind === 'dumps') {
        for (const { start, end, sequence } of messagesOf(bytes)) {
          collected.push(
            ...(await roundTrip(bytes.subarray(start, end), sequence, [NLMSG_DONE, NLMSG_ERROR], deadline)),
          )
        }
      } else {
        const last = messagesOf(bytes).findLast(({ flags }) => (flags & NLM_F_ACK) !== 0)
        if (last !== undefined)
          collected.push(...(await roundTrip(bytes, last.sequence, [NLMSG_ERROR], deadline)))
      }
      return { bytes: Buffer.concat(collected), lost: false }
    },
    close: () => socket.close(),
  }
}

function messagesOf(bytes: Uint8Array): { start: number; end: number; sequence: number; flags: number }[] {
  const messages: { start: number; end: number; sequence: number; flags: number }[] = []
  forEachMessage(bytes, viewOf(bytes), (_type, flags, sequence, offset, end) => {
    messages.push({ start: offset - 16, end, sequence, flags })
  })
  return messages
}
