/**
 * `npm run bench -- ipvs [--json] [--runs N] [--services N] [--destinations N] [--without-restore] [--uml]`: how fast
 * a table is loaded, listed and changed, beside C programs and ipvsadm in the same run.
 *
 * What needs IPVS runs on this kernel if it has it and in user-mode Linux if not (or with --uml); the rest on the host.
 * Exit status: 0, 1 if a run was void (an error, a table that is not whole), 2 for wrong usage. Targets that are not
 * reached are marked.
 */
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { loadavg } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs, promisify } from 'node:util'
import { requires } from '../../src/testing/index.js'
import type { GuestResults, GuestSettings } from './ipvs/guest.js'
import { measureHost } from './ipvs/host.js'
import { compilePeer, root } from './ipvs/peer.js'
import { format, type Results, targetsOf } from './ipvs/report.js'
import type { Size } from './ipvs/table.js'

const run = promisify(execFile)
const usage =
  'Usage: npm run bench -- ipvs [--json] [--runs N] [--services N] [--destinations N] [--without-restore] [--uml]'

interface Options extends Size {
  readonly json: boolean
  readonly runs: number
  readonly withoutRestore: boolean
  readonly uml: boolean
}

function optionsOf(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      json: { type: 'boolean', default: false },
      runs: { type: 'string', default: '5' },
      services: { type: 'string', default: '10000' },
      destinations: { type: 'string', default: '10' },
      'without-restore': { type: 'boolean', default: false },
      uml: { type: 'boolean', default: false },
    },
  })
  const number = (name: 'runs' | 'services' | 'destinations', most: number): number => {
    const value = Number(values[name])
    if (!Number.isInteger(value) || value < 1 || value > most) {
      throw new Error(`--${name} takes a number from 1 to ${most}`)
    }
    return value
  }
  return {
    json: values.json,
    runs: number('runs', 100),
    // As many addresses as table.ts has.
    services: number('services', 65_536),
    destinationsEach: number('destinations', 250),
    withoutRestore: values['without-restore'],
    uml: values.uml,
  }
}

async function measure(options: Options): Promise<Results> {
  const { services, destinationsEach, runs, withoutRestore } = options
  const size: Size = { services, destinationsEach }
  await mkdir(`${root}.cache/bench`, { recursive: true })
  const folder = mkdtempSync(`${root}.cache/bench/ipvs-`)
  try {
    const peer = `${folder}/peer`
    await compilePeer(peer)
    const loadAverage = loadavg()[0]!
    process.stderr.write('on the host\n')
    const host = await measureHost(size, runs, peer)
    const where = options.uml ? 'user-mode Linux' : whereIpvsIs()
    process.stderr.write(`in ${where}\n`)
    const guest = await inGuest(where, { ...size, runs, peer, folder, withoutRestore })
    const node = process.version
    return { where, kernel: guest.kernel, node, loadAverage, ...size, runs, host, guest }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function whereIpvsIs(): 'this kernel' | 'user-mode Linux' {
  return requires({ ipvs: true, sandbox: true }) === undefined ? 'this kernel' : 'user-mode Linux'
}

interface Lab {
  readonly runInLab: (options: {
    kernel: 'uml'
    command: readonly string[]
    results: string
    memoryMegabytes: number
    timeoutSeconds: number
    onOutput: (chunk: Uint8Array | string, stream: 'stdout' | 'stderr') => void
  }) => Promise<{ readonly status: number }>
}
interface Packages {
  readonly ensurePackages: (names: readonly string[], options: { readonly why: string }) => Promise<void>
}

async function inGuest(where: string, settings: GuestSettings): Promise<GuestResults> {
  const scripts = new URL('../../../scripts/', import.meta.url)
  const { ensurePackages } = (await import(new URL('packages.mjs', scripts).href)) as Packages
  await ensurePackages(['ipvsadm', 'util-linux'], { why: 'compare with ipvsadm' })
  const program = fileURLToPath(new URL('ipvs/guest.js', import.meta.url))
  const command = [process.execPath, program, JSON.stringify(settings)]
  if (where === 'this kernel') {
    await run(command[0]!, command.slice(1), { maxBuffer: 1 << 24 })
  } else {
    const { runInLab } = (await import(new URL('lab/index.mjs', scripts).href)) as Lab
    const { status } = await runInLab({
      kernel: 'uml',
      command,
      results: settings.folder,
      memoryMegabytes: 4096,
      timeoutSeconds: 3600,
      onOutput: (chunk) => void process.stderr.write(chunk),
    })
    if (status !== 0) throw new Error(`the guest ended with status ${status}`)
  }
  return JSON.parse(readFileSync(`${settings.folder}/results.json`, 'utf8')) as GuestResults
}

async function main(): Promise<number> {
  let options: Options
  try {
    options = optionsOf(process.argv.slice(2))
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n${usage}\n`)
    return 2
  }
  const results = await measure(options)
  process.stdout.write(
    options.json
      ? `${JSON.stringify({ ...results, targets: targetsOf(results) }, null, 2)}\n`
      : format(results),
  )
  return 0
}

process.exitCode = await main()
