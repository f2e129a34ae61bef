/**
 * `npm run demo`: services on nf_tables of the running kernel, servers that die there, then the main job of IPVS, here if this
 * kernel has it, else in the lab, and last the same services by one command; all with real packets.
 */
import { release } from 'node:os'
import { KernelUnavailableError, kernelHasIpvs, kernelRoles, runInLab } from './lab/index.mjs'
import { inProject, runNode } from './project.mjs'

const script = inProject('dist/test/demo/demo.js')
const onThisKernel = ['services', 'healing'].map((name) => inProject(`dist/test/demo/${name}.js`))
const oneCommand = inProject('dist/test/demo/run.js')
const timeoutSeconds = 170

/** @param {readonly string[]} args  `--kernel ROLE` to choose one of the lab's */
export async function demo(args) {
  const chosen = args[0] === '--kernel' ? args[1] : undefined
  if (args.length > 0 && !kernelRoles.includes(chosen)) {
    console.error(`usage: npm run demo -- [--kernel ${kernelRoles.join('|')}]`)
    return 2
  }
  for (const part of onThisKernel) {
    const { status } = await runNode([part], { echo: true, timeoutSeconds })
    if (status !== 0) return status
    console.log()
  }
  const status = await onIpvs(chosen)
  if (status !== 0) return status
  console.log()
  return (await runNode([oneCommand], { echo: true, timeoutSeconds })).status
}

/** @param {string | undefined} chosen  The role of a kernel of the lab. */
async function onIpvs(chosen) {
  if (chosen === undefined && (await kernelHasIpvs())) {
    console.log(`This kernel, ${release()}, has IPVS: the demo runs right here.\n`)
    return (await runNode([script], { echo: true, timeoutSeconds })).status
  }
  console.log(`This kernel, ${release()}, has no IPVS: booting one that has.\n`)
  // The smallest download first; all of them can do it.
  for (const kernel of chosen === undefined ? ['6.1', '6.12', 'newest'] : [chosen]) {
    try {
      const command = [process.execPath, script]
      const onOutput = (chunk, stream) => void process[stream].write(chunk)
      return (await runInLab({ kernel, command, onOutput, timeoutSeconds })).status
    } catch (error) {
      if (!(error instanceof KernelUnavailableError)) throw error
      console.log(error.message)
    }
  }
  return 1
}
