/** What every benchmark's program does: options, a folder for its files, and the words about the machine. */
import { cpus, loadavg, release } from 'node:os'
import { type Asked, askedOf, type Kinds, usageOf } from './options.js'
import { root } from './processes.js'
import type { Target } from './target.js'

/** Where the figures come from. */
export interface Machine {
  readonly kernel: string
  readonly processor: string
  readonly processors: number
  readonly loadAverage: number
  readonly node: string
}

export function machine(): Machine {
  return {
    kernel: release(),
    processor: cpus()[0]?.model ?? process.arch,
    processors: cpus().length,
    loadAverage: loadavg()[0]!,
    node: process.version,
  }
}

/** Figures of a machine that does other things, too, say little. */
export function busy({ loadAverage }: Machine): string[] {
  return loadAverage > 1 ? [`The machine was busy with other things (load ${loadAverage.toFixed(1)}).`] : []
}

/** A script of the project's own. */
export async function project<T>(script: string): Promise<T> {
  return (await import(new URL(`../../../scripts/${script}`, import.meta.url).href)) as T
}

interface Project {
  readonly withTemporaryFolder: <T>(
    name: string,
    work: (folder: string) => Promise<T>,
    below: string,
  ) => Promise<T>
}
interface Packages {
  readonly ensurePackages: (names: readonly string[], options: { readonly why: string }) => Promise<void>
}

export async function ensurePackages(names: readonly string[], why: string): Promise<void> {
  const packages = await project<Packages>('packages.mjs')
  await packages.ensurePackages(names, { why })
}

/** A folder that is gone afterwards, whatever happens. */
export async function inFolder<T>(name: string, work: (folder: string) => Promise<T>): Promise<T> {
  const { withTemporaryFolder } = await project<Project>('project.mjs')
  return withTemporaryFolder(name, work, `${root}.cache/bench`)
}

/** Exit status: 0, 1 if a run was void (an error, a table that is not whole), 2 for wrong usage. */
export async function runProgram<Of extends Kinds, Results>(program: {
  /** As `npm run bench` knows it. */
  readonly name: string
  /** What it takes beside those that every benchmark does. */
  readonly options: Of
  readonly measure: (asked: Asked<Of>) => Promise<Results>
  readonly targets: (results: Results) => Target[]
  readonly text: (results: Results) => string
  readonly markdown: (results: Results) => string
}): Promise<number> {
  let asked: Asked<Of>
  try {
    asked = askedOf(process.argv.slice(2), program.options)
  } catch (error) {
    const usage = usageOf(program.name, program.options)
    process.stderr.write(`${(error as Error).message}\n${usage}\n`)
    return 2
  }
  const results = await program.measure(asked)
  const targets = program.targets(results)
  const printed = {
    text: program.text,
    markdown: program.markdown,
    json: () => `${JSON.stringify({ ...results, targets }, null, 2)}\n`,
  }
  process.stdout.write(printed[asked.print](results))
  return targets.some(({ verdict }) => verdict === 'void') ? 1 : 0
}
