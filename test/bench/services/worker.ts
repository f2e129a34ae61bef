/**
 * Changes, one at a time, of a reconciler that has programmed so many services: in a process of its own for each size, which
 * does so many rounds for each line on standard input.
 *
 *   node worker.js '{"services":10000,"endpointsEach":3}' nftables
 */
import { setImmediate, setTimeout } from 'node:timers/promises'

import { type DataplaneKind, openDataplane } from '../../../src/dataplane/index.js'
import { Reconciler } from '../../../src/reconciler/index.js'
import { serve } from '../serve.js'
import { changeNames, Changes, noTimes, type Pace, restMilliseconds, type Times } from './changes.js'
import { node, nodeName, objectsOf, type Size } from './objects.js'
import type { Place } from '../processes.js'

export interface Task {
  /** The namespace; told first. */
  readonly netns?: Place
  /** So many of each kind of change. */
  readonly rounds?: number
  /** `after a rest` unless said. */
  readonly pace?: Pace
  readonly watch?: boolean
}

export interface Answer {
  /** For each kind, what each change took from `upsert` to `settled`. */
  readonly nanoseconds: Times
}

const [settings, kind] = process.argv.slice(2) as [string, DataplaneKind]
const size = JSON.parse(settings) as Size
let reconciler: Reconciler | undefined
let changes: Changes

await serve<Task>(async ({ netns, rounds = 0, pace = 'after a rest' }, measure) => {
  if (reconciler === undefined) {
    const dataplane = await openDataplane({ kind, netns: netns!, node })
    const made = new Reconciler({
      dataplane,
      nodeName,
      repairIntervalMilliseconds: 0,
      coalesceMilliseconds: 0,
    })
    made.replaceAll(objectsOf(size))
    changes = new Changes(made, size)
    await measure(() => made.start())
    reconciler = made
    return {}
  }
  const one = reconciler
  const nanoseconds = noTimes()
  const applies = one.counts.applies
  await measure(async () => {
    for (let round = 0; round < rounds; round++) {
      for (const name of changeNames) {
        await (pace === 'in a row' ? setImmediate() : setTimeout(restMilliseconds))
        const start = performance.now()
        changes.make(name)
        await one.settled()
        nanoseconds[name].push(Math.round((performance.now() - start) * 1e6))
      }
      changes.next()
    }
  })
  const { counts } = one
  if (counts.applies - applies !== rounds * changeNames.length || counts.failures > 0) {
    throw new Error(`void: ${JSON.stringify(counts)}`)
  }
  return { nanoseconds } satisfies Answer
})
