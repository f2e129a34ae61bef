/** The part of the benchmark that needs no IPVS: run on the host itself, where code runs at its own speed. */
import { writeFileSync } from 'node:fs'
import { GenericFamily } from '../../../src/genetlink/index.js'
import { CTRL_CMD_GETFAMILY, family as familyTable, GENL_ID_CTRL } from '../../../src/genetlink/wire.js'
import {
  Connection,
  NETLINK_GENERIC,
  NLM_F_ACK,
  NLMSG_ERROR,
  openSocket,
  type Replies,
  Writer,
} from '../../../src/netlink/index.js'
import { encode } from './encode.js'
import { type LoopDelay, median, timed, watched } from '../measure.js'
import { root, run } from '../processes.js'
import { PeerExchange } from './peer.js'
import { commandsOf, operationsOf, type Size } from './table.js'

/** One number for each run. */
export interface HostResults {
  /** From objects to bytes, with validation; the engine has compiled it. */
  readonly encodeMicroseconds: readonly number[]
  readonly exchangeCMicroseconds: readonly number[]
  /** `transport.exchangeSync`, which is what every small request goes through. */
  readonly exchangeMicroseconds: readonly number[]
  /** The same request as a program makes it: encoded, awaited, decoded. */
  readonly requestMicroseconds: readonly number[]
  readonly importMilliseconds: readonly number[]
  readonly loop: Readonly<Record<HostWatched, readonly LoopDelay[]>>
}
export type HostWatched = 'encode, on the host' | 'requests in a row, on the host'

/** `program` is the C program, `folder` one for files. */
export async function measureHost(
  size: Size,
  runs: number,
  program: string,
  folder: string,
): Promise<HostResults> {
  const [encodeMicroseconds, encodeLoop] = await encoder(size, runs)
  const { requestLoop, ...micros } = await exchanges(runs, program, `${folder}/request`)
  return {
    encodeMicroseconds,
    ...micros,
    importMilliseconds: await imports(runs),
    loop: { 'encode, on the host': encodeLoop, 'requests in a row, on the host': requestLoop },
  }
}

async function encoder(size: Size, runs: number): Promise<[number[], LoopDelay[]]> {
  const operations = operationsOf(size)
  const commands = commandsOf(size)
  const writer = new Writer(commands * 128)
  const times: number[] = []
  const loops: LoopDelay[] = []
  const warmUp = 3
  for (let round = 0; round < warmUp + runs; round++) {
    writer.reset()
    const seconds = await timed(() => encode(writer, operations))
    writer.reset()
    const loop = await watched(() => encode(writer, operations))
    if (round < warmUp) continue
    times.push((seconds * 1e6) / commands)
    loops.push(loop)
  }
  return [times, loops]
}

type Exchanges = Pick<
  HostResults,
  'exchangeCMicroseconds' | 'exchangeMicroseconds' | 'requestMicroseconds'
> & { readonly requestLoop: readonly LoopDelay[] }

/** GETFAMILY of the controller itself: a small request with a small answer, on every kernel. In turns with C. */
async function exchanges(runs: number, program: string, file: string): Promise<Exchanges> {
  const writer = new Writer(64)
  const start = writer.beginMessage(GENL_ID_CTRL, 1 | NLM_F_ACK, 1)
  writer.u8(CTRL_CMD_GETFAMILY)
  writer.u8(1)
  writer.u16(0)
  familyTable.encode(writer, { name: 'nlctrl' })
  writer.endMessage(start)
  writeFileSync(file, writer.bytes.subarray(0, writer.length))

  const child = new PeerExchange(program, file)
  const transport = openSocket({ protocol: NETLINK_GENERIC })
  const connection = new Connection(transport)
  const exchange = transport.exchangeSync!.bind(transport)
  const each = 500
  const rounds = 20
  const results = {
    exchangeCMicroseconds: [] as number[],
    exchangeMicroseconds: [] as number[],
    requestMicroseconds: [] as number[],
    requestLoop: [] as LoopDelay[],
  } satisfies Exchanges
  try {
    for (let index = -1; index < runs; index++) {
      const [theirs, ours, whole]: [number[], number[], number[]] = [[], [], []]
      for (let round = 0; round < rounds; round++) {
        theirs.push((await child.exchange(each)) / 1000 / each)
        let began = performance.now()
        for (let done = 0; done < each; done++)
          checkReplies(exchange(writer.bytes, writer.length, 'batch', 1000))
        ours.push(((performance.now() - began) * 1000) / each)
        began = performance.now()
        for (let done = 0; done < each; done++) await GenericFamily.open(connection, 'nlctrl', 1)
        whole.push(((performance.now() - began) * 1000) / each)
      }
      const loop = await watched(async () => {
        for (let done = 0; done < each * rounds; done++) await GenericFamily.open(connection, 'nlctrl', 1)
      })
      // The first warms up.
      if (index < 0) continue
      results.exchangeCMicroseconds.push(median(theirs))
      results.exchangeMicroseconds.push(median(ours))
      results.requestMicroseconds.push(median(whole))
      results.requestLoop.push(loop)
    }
  } finally {
    await child.close()
    connection.close()
  }
  return results
}

/** As the C program does: the last message acknowledges, with error 0 (struct nlmsgerr and the header of the request). */
function checkReplies({ bytes, lost }: Replies): void {
  const at = bytes.length - 36
  const type = at < 0 ? 0 : bytes[at + 4]! | (bytes[at + 5]! << 8)
  const error = bytes[at + 16]! | bytes[at + 17]! | bytes[at + 18]! | bytes[at + 19]!
  if (lost || type !== NLMSG_ERROR || error !== 0) throw new Error('void: an exchange of ours failed')
}

/** In a process of its own each time, as a user of the package does it: what a program pays before its first line. */
async function imports(runs: number): Promise<number[]> {
  const code = `const start = performance.now(); await import('viaduct'); console.log(performance.now() - start)`
  const times: number[] = []
  for (let index = -1; index < runs; index++) {
    const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', code], { cwd: root })
    if (index >= 0) times.push(Number(stdout))
  }
  return times
}
