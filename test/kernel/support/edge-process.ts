/** A virtual router in a process of its own, to be killed: `node edge-process.js NAMESPACE OPTIONS`. */
import { fileURLToPath } from 'node:url'
import { VirtualRouter, type VirtualRouterOptions } from '../../../src/edge/index.js'

export const edgeProcess = fileURLToPath(import.meta.url)

const [program, path, options] = process.argv.slice(1)
if (program === edgeProcess && path !== undefined && options !== undefined) {
  const router = await VirtualRouter.start({
    ...(JSON.parse(options) as VirtualRouterOptions),
    netns: { path },
  })
  process.once('SIGTERM', () => void router.close())
  process.stdout.write('started\n')
}
