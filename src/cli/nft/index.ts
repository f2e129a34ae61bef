/** `viaduct nft …`: looks at the packet filter, at what is changed in it, and at what packets go through. */
import { type Commands, runCommand, type RunOptions } from '../command.js'
import { exitFailed } from '../exit.js'
import type { Streams } from '../streams.js'
import { listOptions, program } from './client.js'

export const commands: Commands = {
  program,
  subcommands: {
    list: {
      options: listOptions,
      exitCode: exitFailed,
      run: async (invocation) => (await import('./list.js')).list(invocation),
    },
    monitor: {
      options: [],
      exitCode: exitFailed,
      run: async (invocation) => (await import('./monitor.js')).monitor(invocation),
    },
    trace: {
      options: [],
      exitCode: exitFailed,
      run: async (invocation) => (await import('./trace.js')).trace(invocation),
    },
  },
  help: async () => (await import('./help.js')).help(program),
}

/** Does what the words behind the command's own name say, and resolves to the exit code. */
export function run(argv: readonly string[], streams: Streams, options: RunOptions = {}): Promise<number> {
  return runCommand(commands, argv, streams, options)
}
