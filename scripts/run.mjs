#!/usr/bin/env node
/**
 * What stands behind the npm scripts: `node scripts/run.mjs COMMAND …`. Node's built-ins only, so that it runs with
 * nothing installed; each command sets up by itself what it needs, and two may run at once.
 */
import { parseArgs } from 'node:util'

/** Each command loads only what it needs, and returns the exit status (undefined is 0). */
const commands = {
  install: async () => (await import('./install.mjs')).install(),
  build: async () => {
    const { ok, output } = await (await import('./build.mjs')).build()
    if (!ok) process.stdout.write(output)
    return ok ? 0 : 1
  },
  check: async (args) => {
    const { update } = parse(args, { update: { type: 'boolean' } })
    const { check } = await import('./check.mjs')
    return conclude(await check({ update }))
  },
  test: async (args) => {
    const options = parse(args, {
      only: { type: 'string', multiple: true },
      kernel: { type: 'string', multiple: true },
      grep: { type: 'string' },
    })
    const { test } = await import('./test.mjs')
    return conclude(await test({ only: options.only, kernels: options.kernel, grep: options.grep }))
  },
  'test:long': async (args) => {
    const { grep } = parse(args, { grep: { type: 'string' } })
    const { testLong } = await import('./test.mjs')
    return conclude(await testLong({ grep }))
  },
  demo: async (args) => {
    await built()
    return (await import('./demo.mjs')).demo(args)
  },
  conformance: async (args) => {
    await built()
    return (await import('./conformance.mjs')).conformance(args)
  },
  lab: async (args) => {
    await built()
    const { inProject, runNode } = await import('./project.mjs')
    return (await runNode([inProject('scripts/lab/cli.mjs'), ...args], { echo: true, cwd: process.cwd() }))
      .status
  },
  bench: async (args) => {
    await built()
    return (await import('./bench.mjs')).bench(args)
  },
  docs: async () => {
    await built()
    return (await import('./docs.mjs')).docs()
  },
}

/** What is run needs no right types in the rest of the project: they are told, and it goes on with what was written. */
async function built() {
  const { ok, output } = await (await import('./build.mjs')).build()
  if (!ok) console.error(output)
}

const parse = (args, options) => parseArgs({ args, options }).values

/** The last line: how many tests passed. None at all is a failure, and CI allows no skipped ones. */
function conclude({ passed, failed, skipped = 0 }) {
  console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
  return failed > 0 || passed === 0 || (skipped > 0 && process.env.CI !== undefined) ? 1 : 0
}

const [name, ...args] = process.argv.slice(2)
const command = Object.hasOwn(commands, name ?? '') ? commands[name] : undefined
if (command === undefined) {
  console.error(`Usage: node scripts/run.mjs ${Object.keys(commands).join('|')} …`)
  process.exitCode = 2
} else {
  try {
    process.exitCode = (await command(args)) ?? 0
  } catch (error) {
    console.error(process.env.VIADUCT_DEBUG === undefined ? `${name}: ${error.message}` : error)
    // What keeps the tests from running is a failure that counts like one.
    if (/^(test|check)/.test(name)) console.log('0 passed, 1 failed')
    process.exitCode = 1
  }
}
