/**
 * A process that has just started: it imports the library as users do, has its objects in memory, and programs them, or
 * finds them in the kernel. What was compiled or touched before does not help it.
 *
 *   node cold.js /proc/1/fd/20 '{"services":10000,"endpointsEach":3}' [streamed | ipvs]
 *
 * On nftables unless `ipvs` is said. `streamed`: objects are made one by one and dropped, as from a list that is read, so that the memory is ours alone.
 */
import type { Cold } from './processes.js'

const [path, settings, how] = process.argv.slice(2) as [string, string, 'streamed' | 'ipvs' | undefined]
const size = JSON.parse(settings) as import('./objects.js').Size
const { openDataplane, Reconciler } = await import('viaduct/services')
const { node, nodeName, objectsOf } = await import('./objects.js')
const objects = how === 'streamed' ? objectsOf(size) : [...objectsOf(size)]
const before = process.resourceUsage()
const start = performance.now()
const dataplane = await openDataplane({ kind: how === 'ipvs' ? 'ipvs' : 'nftables', netns: { path }, node })
const reconciler = new Reconciler({ dataplane, nodeName, repairIntervalMilliseconds: 0 })
reconciler.replaceAll(objects)
await reconciler.start()
const seconds = (performance.now() - start) / 1000
const { userCPUTime, maxRSS } = process.resourceUsage()
const { writes, failures } = reconciler.counts
const answer: Cold = {
  seconds,
  userSeconds: (userCPUTime - before.userCPUTime) / 1e6,
  peakMegabytes: maxRSS / 1024,
  residentMegabytes: process.memoryUsage.rss() / (1 << 20),
  writes,
  failures: failures + reconciler.problems().objects.length,
}
process.stdout.write(`${JSON.stringify(answer)}\n`)
await reconciler.close()
dataplane.close()
