/**
 * `npm run bench -- peers`: what the npm packages for netlink and for calling C do on this machine. The figures of
 * docs/decisions.md come from here. Installs them in a temporary folder (takes the npm registry, cc and root).
 */
import { cpSync } from 'node:fs'
import path from 'node:path'
import { inProject, npm, readJson, run, runNode, withTemporaryFolder } from '../../../scripts/project.mjs'

const here = inProject('test/bench/peers')
const { dependencies } = await readJson(path.join(here, 'package.json'))
const installing = ['--no-save', '--no-audit', '--no-fund', '--foreground-scripts', '--loglevel=error']

await withTemporaryFolder('peers', async (folder) => {
  console.log(`Node ${process.version}, ${process.platform} ${process.arch}\n`)
  for (const [name, version] of Object.entries(dependencies)) {
    const at = ['--prefix', path.join(folder, name)]
    const { ok, output } = await npm(['install', ...installing, ...at, `${name}@${version}`], { cwd: folder })
    console.log(`${name} ${version}: ${ok ? 'installs' : `does not install: ${firstError(output)}`}`)
  }

  console.log('\nAn empty request and its acknowledgement, µs (the median of 9 rounds of 20,000):')
  const compiled = await run('cc', ['-O2', '-o', path.join(folder, 'request'), path.join(here, 'request.c')])
  print('C', compiled.ok ? await run(path.join(folder, 'request'), []) : compiled)
  print('viaduct', await runHere('request-viaduct.mjs'))
  print('viaduct, worker thread', await runHere('request-viaduct.mjs', 'asynchronous'))
  print('koffi', await runBeside('koffi', 'request-koffi.mjs'))
  print('netlink', await runBeside('netlink', 'request-netlink.mjs'))

  console.log('\nReplies that do not fit into the receive buffer:')
  print('viaduct', await runHere('overrun-viaduct.mjs'))
  print('netlink', await runBeside('netlink', 'overrun-netlink.mjs'))

  console.log('\nA listener that throws:')
  print('viaduct', await runHere('listener-viaduct.mjs'))
  print('netlink', await runBeside('netlink', 'listener-netlink.mjs'))

  function runHere(file, ...args) {
    return runNode([path.join(here, file), ...args], { timeoutSeconds: 120 })
  }

  /** Where its package is installed. */
  function runBeside(name, file) {
    for (const script of [file, 'measure.mjs'])
      cpSync(path.join(here, script), path.join(folder, name, script))
    return runNode([path.join(folder, name, file)], { timeoutSeconds: 120 })
  }
})

function print(name, { ok, status, output }) {
  const lines = output.trim().split('\n')
  const end = status > 128 ? `killed by signal ${status - 128}: ` : `status ${status}: `
  console.log(`  ${name.padEnd(24)}${ok ? lines.at(-1) : end + lines.join(' ')}`)
}

function firstError(output) {
  return /(?:fatal )?error: .*/.exec(output)?.[0] ?? output.trim().split('\n').at(-1)
}
