/**
 * The part of the benchmark that needs IPVS: run where it is, as root.
 *
 *   node guest.js '{"runs":3,"services":10000,"changes":100,"folder":"/results"}'
 */
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { ColdAnswer } from '../ipvs/cold.js'
import { inNamespace } from '../namespaces.js'
import { deadlineMilliseconds, type Place, run } from '../processes.js'
import { changeNames, noTimes } from './changes.js'
import type { Size } from './objects.js'
import { type GuestFigures, type GuestSettings, ipvsEndpointsEach } from './ipvs-figures.js'
import { measureLatency } from './latency.js'
import { type Cold, cold, Worker } from './processes.js'

/** The same numbers of services and servers, as operations that are there already. */
async function alone(netns: Place, { services, endpointsEach }: Size): Promise<number> {
  const file = fileURLToPath(new URL('../ipvs/cold.js', import.meta.url))
  const args = [file, netns.path, JSON.stringify({ services, destinationsEach: endpointsEach }), 'time']
  const { stdout } = await run(process.execPath, args, { timeout: deadlineMilliseconds })
  const { milliseconds } = JSON.parse(stdout) as ColdAnswer
  return (milliseconds.open + milliseconds.apply) / 1000
}

const { runs, services, changes, packets, folder } = JSON.parse(process.argv[2]!) as GuestSettings
const size: Size = { services, endpointsEach: ipvsEndpointsEach }
const figures = { alone: [] as number[], load: [] as Cold[], restart: [] as Cold[], changes: noTimes() }
for (let each = 1; each <= runs; each++) {
  process.stderr.write(`run ${each} of ${runs}\n`)
  await inNamespace(async (netns) => figures.alone.push(await alone(netns, size)))
  await inNamespace(async (netns) => {
    figures.load.push(await cold(netns, size, 'ipvs'))
    figures.restart.push(await cold(netns, size, 'ipvs'))
    const worker = new Worker(size, 'ipvs')
    try {
      await worker.ask({ netns })
      // The engine compiles what it will run.
      await worker.ask({ rounds: 10 })
      const { nanoseconds } = await worker.ask({ rounds: changes })
      for (const name of changeNames)
        figures.changes[name].push(...nanoseconds![name].map((one) => one / 1000))
    } finally {
      await worker.close()
    }
  })
}
process.stderr.write('latency\n')
const latency = await measureLatency(packets, runs * 10, 'ipvs')
writeFileSync(`${folder}/results.json`, JSON.stringify({ ...figures, latency } satisfies GuestFigures))
