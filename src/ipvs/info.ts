import { type GenericFamily, GENL_HDRLEN } from '../genetlink/index.js'
import type { CallOptions, Decoded } from '../netlink/index.js'
import { hintFor } from './hints.js'
import { command, info as infoTable, top } from './wire.js'

/** What GET_INFO tells. */
export interface IpvsInfo {
  /** `1.2.1`. */
  readonly version: string
  /** Buckets of the connection table. */
  readonly connectionTableSize: number
}

/** GET_INFO. Like every command but the family's resolution it takes CAP_NET_ADMIN. */
export async function readInfo(family: GenericFamily, options?: CallOptions): Promise<IpvsInfo> {
  const [found] = await family.query(
    {
      operation: 'ipvs.info',
      command: command.getInfo,
      attributes: top,
      record: {},
      hint: hintFor('config', 'get'),
    },
    (bytes, view, offset, end) =>
      infoTable.decode(bytes, view, offset + GENL_HDRLEN, end) as Decoded<typeof infoTable>,
    options,
  )
  const version = found?.version ?? 0
  return {
    version: `${(version >> 16) & 255}.${(version >> 8) & 255}.${version & 255}`,
    connectionTableSize: found?.connectionTableSize ?? 0,
  }
}
