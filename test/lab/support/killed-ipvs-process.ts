/**
 * A process that is killed in the middle of a change: `node killed-ipvs-process.js NAMESPACE FILE SEND`. It kills itself
 * before its send of that number that changes something, counted from 1 from the beginning of the change on.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { openIpvsDataplane } from '../../../src/dataplane/ipvs/index.js'
import type { NodeSettings } from '../../../src/dataplane/index.js'
import type { VirtualService } from '../../../src/model/index.js'
import type { Netns } from '../../../src/net/index.js'
import { watchedTransports } from './ipvs-watched.js'

/** What it does. */
export interface Ending {
  readonly node: NodeSettings
  /** Adopted before, where there is something to go on with. */
  readonly before: readonly VirtualService[] | undefined
  readonly upserted: readonly VirtualService[]
  readonly deleted: readonly string[]
}

/** @param end  Called before that send. What it throws keeps that from being sent. */
export async function runUntil(
  netns: Netns,
  { node, before, upserted, deleted }: Ending,
  send: number,
  end: () => void,
): Promise<void> {
  let left = Infinity
  const dataplane = await openIpvsDataplane(
    { netns, node },
    watchedTransports(netns, (writes) => {
      if (left <= 0 || (writes.length > 0 && --left === 0)) end()
    }),
  )
  try {
    if (before !== undefined) await dataplane.synchronize(before)
    left = send
    if (before === undefined) await dataplane.synchronize(upserted)
    else await dataplane.apply({ upserted, deleted })
  } finally {
    dataplane.close()
  }
}

export const killedProcess = fileURLToPath(import.meta.url)

const [program, path, file, send] = process.argv.slice(1)
if (program === killedProcess && path !== undefined && file !== undefined) {
  const ending = JSON.parse(readFileSync(file, 'utf8')) as Ending
  await runUntil({ path }, ending, Number(send), () => process.kill(process.pid, 'SIGKILL'))
}
