/**
 * `viaduct doctor`: what `ipvs.diagnose()` finds, for people.
 *
 * Exit status: 0 IPVS can be used from here, 1 something is in the way, 2 wrong usage.
 */
import { parseArgs } from 'node:util'
import { diagnose, type Diagnosis, type Finding, type Level } from '../ipvs/diagnose.js'
import { netnsOf } from './netns.js'

const usage = `Usage: viaduct doctor [--netns NAME|PATH] [--no-load] [--json]

Tells what is there for IPVS and what is missing: the kernel and its modules, privileges, the network
namespace's state and settings, and what to do about each.

  --netns NAME|PATH  look at this network namespace (as \`ip netns\` knows it, or a file)
  --no-load          do not ask IPVS itself, on which a modular kernel loads it
  --json             as JSON
  --help

Exit status: 0 IPVS can be used from here, 1 something is in the way, 2 wrong usage.
`

/** Where it is printed; `process.stdout` is one. */
export interface Output {
  write(text: string): unknown
  readonly isTTY?: boolean | undefined
  readonly columns?: number | undefined
}

/** Prints it; resolves with the exit status. */
export async function doctor(
  args: readonly string[],
  output: Output = process.stdout,
  errors: Output = process.stderr,
): Promise<0 | 1 | 2> {
  let options
  try {
    options = parseArgs({
      args: [...args],
      options: {
        netns: { type: 'string' },
        'no-load': { type: 'boolean' },
        json: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    }).values
  } catch (error) {
    errors.write(`viaduct doctor: ${(error as Error).message}\n${usage}`)
    return 2
  }
  if (options.help === true) {
    output.write(usage)
    return 0
  }
  const diagnosis = await diagnose({ netns: netnsOf(options.netns), ask: options['no-load'] !== true })
  output.write(
    options.json === true
      ? `${JSON.stringify(diagnosis, null, 2)}\n`
      : formatDiagnosis(diagnosis, {
          columns: output.columns ?? 100,
          colour: output.isTTY === true && (process.env['NO_COLOR'] ?? '') === '',
        }),
  )
  return diagnosis.ready ? 0 : 1
}

export interface Format {
  readonly columns: number
  readonly colour: boolean
}

/** The text that is printed. */
export function formatDiagnosis({ findings, ready }: Diagnosis, format: Format): string {
  const lines: string[] = []
  for (const finding of grouped(findings)) {
    const [first = '', ...more] = wrapped(finding.title, format)
    lines.push(`${label(finding.level, format)}${first}`)
    for (const line of more) lines.push(`${indent}${line}`)
    if (finding.meaning !== undefined) {
      for (const line of wrapped(`${finding.meaning}.`, format)) lines.push(`${indent}${line}`)
    }
    if (finding.remedy !== undefined) {
      for (const line of wrapped(`To do: ${finding.remedy}.`, format)) lines.push(`${indent}${line}`)
    }
  }
  const count = (level: Level): number => findings.filter((finding) => finding.level === level).length
  const problems = count('problem')
  lines.push(
    '',
    ready
      ? `IPVS can be used from here.${count('note') > 0 ? ` ${count('note')} notes above.` : ''}`
      : `IPVS cannot be used from here: ${problems} ${problems === 1 ? 'problem' : 'problems'} above.`,
  )
  return `${lines.join('\n')}\n`
}

/** Modules of which the same is to be said stand on one line: there is one for each scheduler. */
function grouped(findings: readonly Finding[]): Finding[] {
  const groups = new Map<string, Finding[]>()
  for (const finding of findings) {
    const said = finding.id.startsWith('module.ip_vs_')
      ? `${finding.level} ${finding.title.replace(/^\S+/, '')} ${finding.remedy ?? ''}`
      : finding.id
    groups.set(said, [...(groups.get(said) ?? []), finding])
  }
  return [...groups.values()].map((group) => {
    const [first] = group
    if (group.length === 1) return first!
    const names = group.map(({ title }) => title.split(' ', 1)[0]!)
    const { meaning, ...rest } = first!
    return {
      ...rest,
      title: `${names.join(', ')}: ${first!.title.replace(/^\S+ is /, '')}`,
      // What is meant for one scheduler names it.
      ...(meaning === undefined || group.some((other) => other.meaning !== meaning) ? {} : { meaning }),
    }
  })
}

const width = 9
const indent = ' '.repeat(width)
const colours: Readonly<Record<Level, number>> = { ok: 32, note: 33, problem: 31 }

function label(level: Level, { colour }: Format): string {
  const padded = level.padEnd(width)
  return colour ? `\x1b[${colours[level]}m${padded}\x1b[0m` : padded
}

/** By words, to what stands beside the label. */
function wrapped(text: string, { columns }: Format): string[] {
  const most = Math.max(columns - width, 40)
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > most) {
      lines.push(line)
      line = word
    } else {
      line = line === '' ? word : `${line} ${word}`
    }
  }
  return [...lines, line]
}
