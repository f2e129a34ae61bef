/**
 * The cases of the benchmark that are ours. Each runs in a process of its own, so that none finds the memory that
 * another has left behind: it does its work once for each line on standard input, and answers each with a line.
 *
 *   node worker.js CASE '{"elements":100000,…}'
 */
import { Conntrack } from '../../../src/conntrack/index.js'
import { Nftables } from '../../../src/nftables/index.js'
import type { Place } from '../processes.js'
import { type Prepare, serve } from '../serve.js'
import {
  addFrame,
  addObjects,
  addReplacement,
  died,
  flowsOf,
  type Layout,
  objectsOf,
  type Size,
} from './ruleset.js'

/** What a line asks for. */
export interface Task {
  /** Left out by cases that need none. */
  readonly netns?: Place
  /** Of replacements. */
  readonly count?: number
  /** Of flows. */
  readonly which?: 'all' | 'died'
  /** How long it holds the event loop is asked for, and not how long it takes. */
  readonly watch?: boolean
}

type Work = Prepare<Task>

/** Objects are made once: those that a program would have. */
const load = (layout: Layout, size: Size): Work => {
  const objects = objectsOf(layout, size)
  return async ({ netns }, measure) => {
    await using nftables = await Nftables.open({ netns })
    await measure(() => {
      const transaction = nftables.transaction()
      addFrame(transaction, layout)
      addObjects(transaction, layout, objects)
      return transaction.commit()
    })
  }
}

const read =
  (layout: Layout, size: Size): Work =>
  async ({ netns }, measure) => {
    await using nftables = await Nftables.open({ netns })
    await measure(async () => {
      const { rules, elements } = await nftables.ruleset()
      const count = layout === 'rules' ? rules.length : elements[0]?.elements.length
      if (count !== (layout === 'rules' ? size.rules : size.elements)) {
        throw new Error(`void: read ${count} of ${layout}`)
      }
    })
  }

/** So many replacements, one after the other; what each took. */
const replace = (layout: 'verdicts' | 'data', size: Size): Work => {
  let step = 0
  return async ({ netns, count = 0 }, measure) => {
    await using nftables = await Nftables.open({ netns })
    const nanoseconds = new Array<number>(count).fill(0)
    await measure(async () => {
      for (let done = 0; done < count; done++) {
        const start = performance.now()
        const transaction = nftables.transaction()
        addReplacement(transaction, layout, step++, size)
        await transaction.commit()
        nanoseconds[done] = Math.round((performance.now() - start) * 1e6)
      }
    })
    return { nanoseconds }
  }
}

const cases = {
  'load verdicts': (size: Size) => load('verdicts', size),
  'load rules': (size: Size) => load('rules', size),
  'read verdicts': (size: Size) => read('verdicts', size),
  'read rules': (size: Size) => read('rules', size),
  'replace data': (size: Size) => replace('data', size),
  'replace verdicts': (size: Size) => replace('verdicts', size),

  'create flows':
    (size: Size): Work =>
    async ({ netns, which = 'all' }, measure) => {
      await using conntrack = await Conntrack.open({ netns })
      const flows = [...flowsOf(size, which)]
      await measure(async () => {
        const { applied } = await conntrack.createMany(flows)
        if (applied !== flows.length) throw new Error(`void: ${applied} of ${flows.length} flows`)
      })
    },

  'list flows':
    (size: Size): Work =>
    async ({ netns }, measure) => {
      await using conntrack = await Conntrack.open({ netns })
      await measure(async () => {
        const { length } = await conntrack.list()
        if (length !== size.flows) throw new Error(`void: ${length} of ${size.flows} flows`)
      })
    },

  'delete flows':
    (size: Size): Work =>
    async ({ netns }, measure) => {
      await using conntrack = await Conntrack.open({ netns })
      const expected = [...flowsOf(size, 'died')].length
      await measure(async () => {
        const count = await conntrack.deleteMatching(died)
        if (count !== expected) throw new Error(`void: ${count} of ${expected} flows`)
      })
    },

  /** How long the event loop of a process that does nothing is held: by the machine, that is. */
  idle: (): Work => (_, measure) => measure(() => new Promise((resolve) => setTimeout(resolve, 1000))),
} satisfies Record<string, (size: Size) => Work>

export type Case = keyof typeof cases

const [name, settings] = process.argv.slice(2) as [Case, string]
await serve(cases[name](JSON.parse(settings) as Size))
