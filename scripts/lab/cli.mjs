#!/usr/bin/env node
/**
 * node scripts/lab/cli.mjs [--kernel 6.1|6.12|newest] [--uml] COMMAND…
 *
 * Runs COMMAND in the lab, with its output and exit status.
 */
import { realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { runInLab } from './index.mjs'

const usage = `usage: npm run lab -- [--kernel 6.1|6.12|newest] [--uml] COMMAND…
Boots a kernel that has IPVS (the newest unless one is named; --uml: user-mode Linux) and runs COMMAND in it as
root, in this folder. Try: npm run lab -- ipvsadm -Ln
`

/**
 * @param {readonly string[]} args
 * @returns {{ kernel: import('./index.mjs').LabKernel, command: readonly string[] } | string} a string tells what is wrong
 */
export function parseArguments(args) {
  /** @type {import('./index.mjs').LabKernel} */
  let kernel = 'newest'
  for (let index = 0; index < args.length; index++) {
    const word = args[index] ?? ''
    if (word === '--uml') kernel = 'uml'
    else if (word === '--kernel' || word.startsWith('--kernel=')) {
      const role = word === '--kernel' ? args[++index] : word.slice('--kernel='.length)
      if (role !== '6.1' && role !== '6.12' && role !== 'newest') {
        return `--kernel takes 6.1, 6.12 or newest, not ${role ?? 'nothing'}`
      }
      kernel = role
    } else if (word === '--') return withCommand(kernel, args.slice(index + 1))
    else if (word.startsWith('-')) return `unknown option ${word}`
    else return withCommand(kernel, args.slice(index))
  }
  return withCommand(kernel, [])
}

/**
 * @param {import('./index.mjs').LabKernel} kernel
 * @param {readonly string[]} command
 */
function withCommand(kernel, command) {
  return command.length === 0 ? 'COMMAND is missing' : { kernel, command }
}

/** @param {readonly string[]} args */
export async function main(args) {
  const parsed = parseArguments(args)
  if (typeof parsed === 'string') {
    process.stderr.write(`${parsed}\n${usage}`)
    return 2
  }
  try {
    const { status } = await runInLab({
      ...parsed,
      cwd: process.cwd(),
      onOutput: (chunk, stream) => void process[stream].write(chunk),
    })
    return status
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    return 125
  }
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  process.exitCode = await main(process.argv.slice(2))
}
