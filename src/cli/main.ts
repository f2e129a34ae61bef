#!/usr/bin/env node
import { runViaduct } from './viaduct.js'

// Whoever reads may stop reading: `viaduct ipvsadm -Ln | head`.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit()
})

try {
  process.exitCode = await runViaduct(process.argv, process)
} catch (error) {
  if ((error as { code?: unknown } | undefined)?.code !== 'EPIPE') {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    process.exitCode = 255
  }
}
