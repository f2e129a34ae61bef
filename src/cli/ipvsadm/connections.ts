/** `-L -c`: the connection table, in the kernel's order and in pieces: it may hold millions. */
import { ConnectionLines, type LineEnd } from '../../ipvs/connection-lines.js'
import { type Netns, readChunks } from '../../net/index.js'
import { exitFailed, UsageError } from '../exit.js'
import type { Format } from './command.js'
import { type EndpointText, numericEndpoint } from './print.js'
import type { NameFinder } from './table.js'
import { addressText, type Words } from './text.js'
import { TextWriter } from './writer.js'

const file = '/proc/net/ip_vs_conn'

export async function* renderConnections(
  netns: Netns | undefined,
  format: Format,
  findNames?: NameFinder,
): AsyncGenerator<Uint8Array, void, undefined> {
  const lines = new ConnectionLines({ withOrigin: false })
  const writer = new TextWriter()
  writer.text('IPVS connection entries\n')
  writer.text(heading(format))
  const pieces = readChunks(file, { netns })
  for (;;) {
    const { value: piece, done } = await pieces.next().catch(cannotOpen)
    if (done === true) break
    const rows: Row[] = []
    lines.push(piece, (line) => {
      const { protocol, expiresSeconds, state, engine, engineData } = line
      const ends = [line.client, line.virtual, line.destination] as const
      rows.push({ protocol, expiresSeconds, state, ends: ends.map(copyOf), engine, engineData })
    })
    const name = await namesFor(rows, format, findNames)
    for (const row of rows) writer.text(rowText(row, format, name))
    if (writer.hasFull) yield* writer.full()
  }
  yield* writer.rest()
}

function heading({ persistentConn }: Format): string {
  const start = `pro expire ${'state'.padEnd(11)} ${'source'.padEnd(18)} ${'virtual'.padEnd(18)}`
  return persistentConn
    ? `${start} ${'destination'.padEnd(18)} ${'pe name'.padEnd(16)} pe_data\n`
    : `${start} destination\n`
}

interface Row {
  readonly protocol: string
  readonly expiresSeconds: number
  readonly state: string
  readonly ends: readonly End[]
  readonly engine: string | undefined
  readonly engineData: string | undefined
}

const protocolNumbers: Readonly<Record<string, number>> = { TCP: 6, UDP: 17, SCTP: 132 }

function rowText(row: Row, format: Format, name: EndpointText): string {
  const protocol = protocolNumbers[row.protocol] ?? 0
  const [client, virtual, destination] = row.ends.map(({ words, isIPv6, port }) =>
    name(words, 0, isIPv6, port, protocol),
  ) as [string, string, string]
  const seconds = row.expiresSeconds
  const expires = `${String(Math.floor(seconds / 60)).padStart(2, '0')}:${String(seconds % 60).padStart(2, '0')}`
  const start = `${row.protocol.padEnd(3)} ${expires.padEnd(6)} ${row.state.padEnd(11)} ${client.padEnd(18)} ${virtual.padEnd(18)}`
  // Of what an engine tells clients apart by, ipvsadm shows the first word.
  const data = row.engineData?.split(/[ \t\n\v\f\r]+/).find((word) => word !== '')
  if (!format.persistentConn || row.engine === undefined || data === undefined || data === '') {
    return `${start} ${destination}\n`
  }
  return `${start} ${destination.padEnd(16)} ${row.engine.padEnd(18)} ${data}\n`
}

async function namesFor(
  rows: readonly Row[],
  { numeric }: Format,
  findNames: NameFinder | undefined,
): Promise<EndpointText> {
  if (numeric || findNames === undefined) return numericEndpoint
  const addresses = new Set<string>()
  for (const { ends } of rows) {
    for (const { words, isIPv6 } of ends) addresses.add(addressText(words, 0, isIPv6))
  }
  return findNames(addresses)
}

interface End {
  readonly words: Words
  readonly isIPv6: boolean
  readonly port: number
}

/** A line's own is filled anew for the next. */
function copyOf({ bytes, length, port }: LineEnd): End {
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  return { words: [0, 4, 8, 12].map((at) => view.getUint32(at)), isIPv6: length === 16, port }
}

function cannotOpen(error: unknown): never {
  if ((error as { operation?: unknown }).operation !== 'file.open') throw error
  throw new UsageError(`cannot open file ${file}`, exitFailed)
}
