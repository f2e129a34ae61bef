import { commonOptions, helpOf } from '../options.js'
import { families, listOptions } from './client.js'
import { nouns } from './nouns.js'

/** What `viaduct nft --help` prints. */
export function help(program: string): string {
  const plurals = nouns.map(({ plural }) => plural).join(', ')
  return `Usage: ${program} COMMAND … [--json]

The packet filter of the kernel, to be looked at: nothing is changed.

  list ruleset|rules [FAMILY [TABLE]]
  list WHAT [FAMILY [TABLE]]      one of ${wrapped(plurals)}
  list table [FAMILY] TABLE       one, and all that is in it
  list chain [FAMILY] TABLE NAME  one of any of them (set, counter, …): a chain with its rules, a set or map with its
                                  elements
  monitor [new|destroy] [WHAT]    what anybody makes and takes away, until ^C: of tables, chains, rules, sets, elements,
                                  objects, flowtables; everything, and who did it, unless said
  trace                           what packets go through that a rule marks (meta nftrace set 1), until ^C

  FAMILY is one of ${families.join(', ')}: all unless said, and ip where one thing is named, as with nft.

${helpOf([...listOptions, ...commonOptions])}
Examples
  ${program} list ruleset
  ${program} list set inet gateway banned
  ${program} list ruleset --json | jq -c 'select(.kind == "rule").object'
  ${program} monitor destroy rules
  viaduct --netns blue nft trace

Exit status: 0 done, 1 it cannot be read or is not there, 2 the arguments cannot be meant or nf_tables cannot be had
here, 255 an option is unknown.
`
}

/** To what stands beside its name. */
function wrapped(text: string): string {
  return text.replace(
    /(.{1,80})(?: |$)/g,
    (_, line: string, at: number) => `${at === 0 ? '' : '\n'.padEnd(35)}${line}`,
  )
}
