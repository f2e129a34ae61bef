/** `viaduct …`: says which command is meant, and loads that one alone. */
import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { netnsOf } from './netns.js'
import type { Streams } from './streams.js'

const usage = `Usage: viaduct [--netns NAME|FILE] COMMAND …

  ipvsadm …    as ipvsadm(8): virtual services and real servers of the kernel (\`viaduct ipvsadm -h\`)
  conntrack …  flows that the kernel tracks: list, count, delete, watch (\`viaduct conntrack --help\`)
  nft …        the packet filter: list, monitor, trace (\`viaduct nft --help\`)
  run …        keeps services that manifests describe: health checks, DNS, the edge (\`viaduct run --help\`)
  status, get, describe, drain, explain
               ask a \`viaduct run\` how things are, and tell it who is to get no more connections
  completion   for bash, zsh or fish
  doctor       tells what IPVS needs here, what is there, and what to do about the rest

  --netns      the network namespace to work in: a name of \`ip netns\`, or a file
  --version    prints the version
  --help       prints this

Examples
  viaduct run -f manifests
  viaduct ipvsadm -Ln
  viaduct conntrack list --proto tcp --dport 443
  viaduct conntrack delete --reply-src 10.0.0.7
  viaduct --netns blue nft list ruleset
  viaduct nft trace
`

type Run = (words: readonly string[], streams: Streams, netns: string | undefined) => Promise<number>

/** Loaded only if one of them is asked for. */
const agentCommand =
  (name: string): Run =>
  async (words, streams, netns) => {
    const { run } = await import('./agent/index.js')
    return run([name, ...words], streams, { netns: netnsOf(netns) })
  }

const commands: Readonly<Record<string, Run>> = {
  ipvsadm: (words, streams, netns) => ipvsadm(words, streams, 'viaduct ipvsadm', netns),
  async conntrack(words, streams, netns) {
    const { run } = await import('./conntrack/index.js')
    return run(words, streams, { netns: netnsOf(netns) })
  },
  async nft(words, streams, netns) {
    const { run } = await import('./nft/index.js')
    return run(words, streams, { netns: netnsOf(netns) })
  },
  run: agentCommand('run'),
  status: agentCommand('status'),
  get: agentCommand('get'),
  describe: agentCommand('describe'),
  drain: agentCommand('drain'),
  explain: agentCommand('explain'),
  completion: agentCommand('completion'),
  async doctor(words, _streams, netns) {
    const { doctor } = await import('./doctor.js')
    return doctor(netns === undefined ? words : ['--netns', netns, ...words])
  },
}

/**
 * @param argv  As `process.argv` has it: the second is the file that was run. By a link named ipvsadm, it is ipvsadm.
 * @returns the exit code
 */
export async function runViaduct(argv: readonly string[], streams: Streams): Promise<number> {
  const [, file = '', ...words] = argv
  if (basename(file) === 'ipvsadm') return ipvsadm(words, streams, 'ipvsadm')
  let netns: string | undefined
  for (;;) {
    const word = words.shift()
    switch (word) {
      case '--netns': {
        netns = words.shift()
        if (netns === undefined) return refuse(streams, '--netns needs a name or a file')
        continue
      }
      case '--version':
        streams.stdout.write(`${packageVersion()}\n`, () => undefined)
        return 0
      case '--help':
      case '-h':
        streams.stdout.write(usage, () => undefined)
        return 0
      case undefined:
        return refuse(streams, undefined)
      default:
        if (!Object.hasOwn(commands, word)) return refuse(streams, `there is no command ${word}`)
        return commands[word]!(words, streams, netns)
    }
  }
}

async function ipvsadm(
  words: readonly string[],
  streams: Streams,
  program: string,
  netns?: string,
): Promise<number> {
  const { run } = await import('./ipvsadm/index.js')
  return run(words, streams, { program, netns: netnsOf(netns) })
}

function refuse(streams: Streams, complaint: string | undefined): number {
  streams.stderr.write(
    `${complaint === undefined ? '' : `viaduct: ${complaint}\n\n`}${usage}`,
    () => undefined,
  )
  return 2
}

function packageVersion(): string {
  // From dist/src/cli.
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
