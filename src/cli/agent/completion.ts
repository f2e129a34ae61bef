/** What a shell offers behind `viaduct`: made of the same rows that options are read by. */
import { type Invocation, usage } from '../command.js'
import { commonOptions, type OptionRow } from '../options.js'
import { write } from '../streams.js'

/** A command, and what may stand behind it. */
export interface Completed {
  readonly name: string
  readonly words: readonly string[]
  readonly options: readonly OptionRow[]
}

const shells = { bash, zsh, fish } as const

export function completionCommand(commands: () => readonly Completed[]) {
  return async ({ words, streams }: Invocation): Promise<void> => {
    const [shell, ...rest] = words
    if (shell === undefined || !Object.hasOwn(shells, shell) || rest.length > 0)
      throw usage(`for which shell? ${Object.keys(shells).join(', ')}`)
    await write(streams.stdout, shells[shell as keyof typeof shells](commands()))
  }
}

function optionsOf({ options }: Completed): string[] {
  return [...options, ...commonOptions].flatMap(({ name, short }) =>
    short === undefined ? [`--${name}`] : [`--${name}`, `-${short}`],
  )
}

/** Behind these a file is meant. */
const files = '--config | --filename | -f | --socket | --netns'

function bash(commands: readonly Completed[]): string {
  const cases = commands.map(
    (one) => `    ${one.name}) words="${[...one.words, ...optionsOf(one)].join(' ')}" ;;\n`,
  )
  return `_viaduct() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} command= words= word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in -*) ;; *) command=$word; break ;; esac
  done
  case $previous in ${files.replaceAll(' | ', '|')}) COMPREPLY=($(compgen -f -- "$current")); return ;; esac
  case $command in
    '') words="${commands.map(({ name }) => name).join(' ')} --netns --version --help" ;;
${cases.join('')}  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -F _viaduct viaduct
`
}

function zsh(commands: readonly Completed[]): string {
  // zsh takes completions of bash.
  return `#compdef viaduct
autoload -U +X bashcompinit && bashcompinit
${bash(commands)}`
}

function fish(commands: readonly Completed[]): string {
  const lines = ['complete -c viaduct -f']
  for (const { name, words, options } of commands) {
    lines.push(`complete -c viaduct -n __fish_use_subcommand -a ${name}`)
    const behind = `complete -c viaduct -n '__fish_seen_subcommand_from ${name}'`
    if (words.length > 0) lines.push(`${behind} -a '${words.join(' ')}'`)
    for (const { name: option, short, value, help } of [...options, ...commonOptions]) {
      const parts = [behind, `-l ${option}`]
      if (short !== undefined) parts.push(`-s ${short}`)
      if (value !== undefined) parts.push('-r -F')
      parts.push(`-d '${help.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`)
      lines.push(parts.join(' '))
    }
  }
  return `${lines.join('\n')}\n`
}
