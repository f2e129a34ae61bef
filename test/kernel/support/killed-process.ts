/**
 * A process that is killed in the middle of a change: `node killed-process.js NAMESPACE STEPS SEND`. It kills itself before its
 * send of that number, counted from 1 from the beginning of the last step on; what comes after the last one lives to the end.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { openNftablesDataplane } from '../../../src/dataplane/nftables/dataplane.js'
import type { NodeSettings } from '../../../src/dataplane/index.js'
import type { VirtualService } from '../../../src/model/index.js'
import { watchedTransport } from './watched-transport.js'

/** What it does; the last step is the one that it is killed in. */
export interface Killed {
  readonly node: NodeSettings
  /** Adopted before, where there is something to go on with. */
  readonly before: readonly VirtualService[] | undefined
  readonly upserted: readonly VirtualService[]
  readonly deleted: readonly string[]
}

export const killedProcess = fileURLToPath(import.meta.url)

const [program, path, file, number] = process.argv.slice(1)
if (program === killedProcess && path !== undefined && file !== undefined) {
  const netns = { path }
  const { node, before, upserted, deleted } = JSON.parse(readFileSync(file, 'utf8')) as Killed
  let left = Infinity
  const dataplane = await openNftablesDataplane({ netns, node }, () =>
    watchedTransport(netns, {
      sending: () => {
        if (--left === 0) process.kill(process.pid, 'SIGKILL')
      },
    }),
  )
  if (before !== undefined) await dataplane.synchronize(before)
  left = Number(number)
  if (before === undefined) await dataplane.synchronize(upserted)
  else await dataplane.apply({ upserted, deleted })
  dataplane.close()
}
