/** The table of the benchmark as bytes. */
import type { IpvsOperation } from '../../../src/index.js'
import { OperationCodec } from '../../../src/ipvs/operations.js'
import { IPVS_GENL_VERSION } from '../../../src/ipvs/wire.js'
import { Writer } from '../../../src/netlink/index.js'

/** Messages one after the other, of type 0: whoever sends them puts in the family's number. */
export async function messagesOf(operations: readonly IpvsOperation[]): Promise<Uint8Array> {
  const writer = new Writer(operations.length * 128)
  await encode(writer, operations)
  return writer.bytes.subarray(0, writer.length)
}

/** As a batch does it for every operation: validated, completed, written; in slices, with the event loop let between. */
export async function encode(writer: Writer, operations: readonly IpvsOperation[]): Promise<void> {
  const codec = new OperationCodec()
  let sequence = 1
  let until = performance.now() + sliceMilliseconds
  for (const operation of operations) {
    const start = writer.beginMessage(0, 1, sequence++)
    writer.u8(codec.command(operation))
    writer.u8(IPVS_GENL_VERSION)
    writer.u16(0)
    codec.attributes.encode(writer, codec.record(operation))
    writer.endMessage(start)
    if ((sequence & 255) === 0 && performance.now() > until) {
      await new Promise((resolve) => setImmediate(resolve))
      until = performance.now() + sliceMilliseconds
    }
  }
}

/** As in netlink/connection.ts. */
const sliceMilliseconds = 8
