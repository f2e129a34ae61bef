/** Runs a scenario of scenario.ts in a process of its own. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly output: string
  readonly errors: string
  readonly milliseconds: number
}

/** `interruptAt`: sends SIGINT when the process has written this. */
export function scenario(
  name: string,
  options: { readonly flags?: readonly string[]; readonly interruptAt?: string } = {},
): Promise<Ended> {
  const file = fileURLToPath(new URL('./scenario.js', import.meta.url))
  const start = performance.now()
  const child = spawn(process.execPath, [...(options.flags ?? []), file, name])
  let output = ''
  let errors = ''
  child.stdout.on('data', (piece: Buffer) => {
    output += String(piece)
    if (options.interruptAt !== undefined && output.includes(options.interruptAt)) child.kill('SIGINT')
  })
  child.stderr.on('data', (piece: Buffer) => (errors += String(piece)))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => {
      resolve({ code, signal, output, errors, milliseconds: performance.now() - start })
    })
  })
}
