/** What each processor counted, of flows and of expectations: a message each, the processor in its header. */
import type { AttributeTable, CallOptions, Decoded, Rows } from '../netlink/index.js'
import { type Netfilter, NFGENMSG_BYTES, readHeader } from '../nfnetlink/index.js'

export function statisticsOfCpus<R extends Rows>(
  netfilter: Netfilter,
  operation: string,
  message: number,
  table: AttributeTable<R>,
  options: CallOptions | undefined,
): Promise<({ readonly cpu: number } & Decoded<AttributeTable<R>>)[]> {
  return netfilter.dump(
    { operation, message, family: 'unspecified', table, record: {} },
    (bytes, view, offset, end) => ({
      cpu: readHeader(view, offset).resource,
      ...(table.decode(bytes, view, offset + NFGENMSG_BYTES, end) as Decoded<AttributeTable<R>>),
    }),
    options,
  )
}
