/**
 * The request that each peer sends: NLMSG_NOOP with NLM_F_REQUEST | NLM_F_ACK, a struct nlmsghdr that the kernel only
 * acknowledges. What is left is the cost of the way there and back.
 */
export const request = new Uint8Array(16)
const header = new DataView(request.buffer)
header.setUint32(0, request.length, true)
header.setUint16(4, 1, true)
header.setUint16(6, 5, true)
header.setUint32(8, 1, true)

/** Bytes of an acknowledgement: its header, the error number 0 and the header of the request. */
export const acknowledgementBytes = 36

/** Prints the median of nine rounds in µs a request, after one that warms up: as request.c does. */
export async function measure(exchange) {
  const rounds = 9
  const requests = 20_000
  const times = []
  for (let round = -1; round < rounds; round++) {
    const start = performance.now()
    for (let done = 0; done < requests; done++) {
      const pending = exchange()
      if (pending !== undefined) await pending
    }
    if (round >= 0) times.push(((performance.now() - start) * 1000) / requests)
  }
  times.sort((a, b) => a - b)
  console.log(times[(rounds - 1) / 2].toFixed(2))
}
