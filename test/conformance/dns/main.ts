/** `npm run conformance -- dns FILE.json`: a line for each query, then how many passed. */
import { readFileSync } from 'node:fs'
import { isValidationError } from '../../../src/errors/index.js'
import { oneLine } from '../one-line.js'
import { type DnsCase, readDnsCases } from './cases.js'
import { runDnsCases } from './run.js'

const [file = ''] = process.argv.slice(2)

function readFile(): DnsCase[] | undefined {
  try {
    return readDnsCases(readFileSync(file, 'utf8'))
  } catch (error) {
    const isRead = isValidationError(error)
    if (!isRead && (error as NodeJS.ErrnoException).code === undefined) throw error
    console.error(`conformance: ${isRead ? `${file}: ` : ''}${oneLine((error as Error).message)}`)
    return undefined
  }
}

const cases = readFile()
if (cases === undefined) process.exitCode = 2
else {
  let passed = 0
  let failed = 0
  await runDnsCases(cases, ({ name, query, wrong }) => {
    const line = oneLine(`${name} › ${query}`)
    console.log(wrong === undefined ? `ok ${line}` : `not ok ${line}: ${oneLine(wrong)}`)
    if (wrong === undefined) passed++
    else failed++
  })
  console.log(`${passed} passed, ${failed} failed`)
  process.exitCode = failed === 0 ? 0 : 1
}
