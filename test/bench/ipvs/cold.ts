/**
 * A program from its start to its end: it imports the library as users do, makes its objects and loads them. What was
 * compiled or touched before does not help it. Prints what each step took.
 *
 *   node cold.js /proc/1/fd/20 '{"services":10000,"destinationsEach":10}' time
 */
const steps: Record<string, number> = {}
let last = 0
const step = (name: string): void => {
  const now = performance.now()
  steps[name] = now - last
  last = now
}

// Since the process was started, as performance.timeOrigin has it.
step('start')
const { Ipvs } = await import('viaduct')
step('import')
const { operationsOf } = await import('./table.js')
const { watchLoop } = await import('../measure.js')
const [path, size, what] = process.argv.slice(2) as [string, string, 'time' | 'watch']
const operations = operationsOf(JSON.parse(size) as Parameters<typeof operationsOf>[0])
step('objects')
const loop = what === 'watch' ? watchLoop() : undefined
const ipvs = await Ipvs.open({ netns: { path } })
step('open')
const before = process.resourceUsage().minorPageFault
const { applied, failures } = await ipvs.apply(operations)
step('apply')
ipvs.close()
if (failures.length > 0 || applied !== operations.length) {
  throw new Error(`void: ${applied} of ${operations.length}; ${String(failures[0]?.error)}`)
}
const { minorPageFault, maxRSS } = process.resourceUsage()
const answer: ColdAnswer = {
  milliseconds: steps as ColdAnswer['milliseconds'],
  loop: loop?.stop(),
  faults: minorPageFault - before,
  residentMegabytes: maxRSS / 1024,
}
process.stdout.write(`${JSON.stringify(answer)}\n`)

export interface ColdAnswer {
  readonly milliseconds: Readonly<Record<'start' | 'import' | 'objects' | 'open' | 'apply', number>>
  /** If it was asked for. */
  readonly loop: import('../measure.js').LoopDelay | undefined
  /** Pages that `apply` touched for the first time. */
  readonly faults: number
  readonly residentMegabytes: number
}
