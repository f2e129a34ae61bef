/**
 * `npm run conformance` ends up here, on a kernel that has what the dataplane takes: `node main.js FILE.json DATAPLANE`.
 * One line for each packet, then how many passed. Everything is in network namespaces that this process alone holds.
 */
import { readFileSync } from 'node:fs'
import { isValidationError } from '../../src/errors/index.js'
import { oneLine } from './one-line.js'
import { programmingBy } from './programming.js'
import { emulatedPatience, runSituations, usualPatience } from './run.js'
import { readSituations } from './situation.js'

const [file = '', kind] = process.argv.slice(2)
// In the lab's QEMU; in user-mode Linux code runs natively.
const lab = process.env['VIADUCT_LAB']
const isEmulated = lab !== undefined && lab !== 'uml'

function readFile(): ReturnType<typeof readSituations> | undefined {
  try {
    return readSituations(readFileSync(file, 'utf8'))
  } catch (error) {
    const isRead = isValidationError(error)
    if (!isRead && (error as NodeJS.ErrnoException).code === undefined) throw error
    console.error(`conformance: ${isRead ? `${file}: ` : ''}${oneLine((error as Error).message)}`)
    return undefined
  }
}

const groups = readFile()
if (kind !== 'nftables' && kind !== 'ipvs') {
  console.error(`conformance: --dataplane takes nftables or ipvs, not ${kind ?? 'nothing'}`)
  process.exitCode = 2
} else if (groups === undefined) process.exitCode = 2
else {
  let passed = 0
  let failed = 0
  await runSituations(groups, programmingBy(kind), {
    patience: isEmulated ? emulatedPatience : usualPatience,
    report({ situation, packet, wrong }) {
      const name = oneLine(`${situation} › ${packet}`)
      console.log(wrong === undefined ? `ok ${name}` : `not ok ${name}: ${oneLine(wrong)}`)
      if (wrong === undefined) passed++
      else failed++
    },
  })
  console.log(`${passed} passed, ${failed} failed, 0 skipped`)
  process.exitCode = failed === 0 ? 0 : 1
}
