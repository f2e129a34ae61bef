/** `viaduct run`, and the commands that ask it. */
import { type Commands, runCommand, type RunOptions, type Subcommand } from '../command.js'
import type { Streams } from '../streams.js'
import { exitFailed } from '../exit.js'
import { describe, drain, explain, get, status } from './asking.js'
import { type Completed, completionCommand } from './completion.js'
import { drainRows, explainRows, runRows, socketRow } from './rows.js'
import { runAgent } from './run.js'

/** By the words behind `viaduct`. */
export const agentCommands: Readonly<Record<string, Subcommand>> = {
  run: { options: runRows, exitCode: exitFailed, run: runAgent },
  status: { options: [socketRow], exitCode: exitFailed, run: status },
  get: { options: [socketRow], exitCode: exitFailed, run: get },
  describe: { options: [socketRow], exitCode: exitFailed, run: describe },
  drain: { options: [socketRow, ...drainRows], exitCode: exitFailed, run: drain },
  explain: { options: [socketRow, ...explainRows], exitCode: exitFailed, run: explain },
  completion: { options: [], exitCode: exitFailed, run: completionCommand(completed) },
}

/** What may stand behind each. */
const wordsBehind: Readonly<Record<string, readonly string[]>> = {
  get: ['services', 'endpoints', 'nodes'],
  describe: ['service'],
  completion: ['bash', 'zsh', 'fish'],
}

/** Commands of other rooms, whose own help tells more. */
const others = ['ipvsadm', 'conntrack', 'nft', 'doctor']

function completed(): Completed[] {
  const own = Object.entries(agentCommands).map(([name, { options }]) => ({
    name,
    words: wordsBehind[name] ?? [],
    options,
  }))
  return [...own, ...others.map((name) => ({ name, words: [], options: [] }))]
}

const commands: Commands = {
  program: 'viaduct',
  subcommands: agentCommands,
  help: async () => (await import('./help.js')).help,
}

/** Does what the words behind `viaduct` say, and resolves to the exit code. */
export function run(argv: readonly string[], streams: Streams, options: RunOptions = {}): Promise<number> {
  return runCommand(commands, argv, streams, options)
}
