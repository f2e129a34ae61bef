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

/** Prints the best of ten rounds in µs a request: what it costs, not what else the machine does. */
export async function measure(exchange) {
  const requests = 20_000
  const times = []
  for (let round = 0; round < 10; round++) {
    const start = performance.now()
    for (let done = 0; done < requests; done++) {
      const pending = exchange()
      if (pending !== undefined) await pending
    }
    times.push(((performance.now() - start) * 1000) / requests)
  }
  // The first round warms up.
  console.log(
    times
      .slice(1)
      .sort((a, b) => a - b)[2]
      .toFixed(2),
  )
}
