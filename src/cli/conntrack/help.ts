import { commonOptions, helpOf } from '../options.js'
import { all, filterRows, watchOptions } from './options.js'

/** What `viaduct conntrack --help` prints. */
export function help(program: string): string {
  return `Usage: ${program} COMMAND [FILTER …] [--json]

Flows that the kernel tracks: who speaks to whom, and who answers.

  list      flows that fit, as \`conntrack -L\` prints them
  count     how many fit; without a filter the kernel's own count
  delete    ends those that fit and tells how many they were; takes a filter or --all
  watch     what begins, changes and ends, as \`conntrack -E\` prints it, until ^C

Filters: a flow fits if it fits all of them
${helpOf(filterRows)}
Of delete
${helpOf([all])}
Of watch
${helpOf(watchOptions)}
Of all
${helpOf(commonOptions)}
Examples
  ${program} list --proto tcp --dport 443 --state established
  ${program} list --json --nat | jq -r .reply.source | sort | uniq -c
  ${program} delete --proto udp --reply-src 10.0.0.7     a real server has died: its clients go to others
  ${program} watch --event destroy --mark 0x10/0xf0
  viaduct --netns blue conntrack count

Exit status: 0 done (also if nothing fits), 1 a list cannot be made, 2 the arguments cannot be meant or flows cannot be
had here, 255 an option is unknown or the kernel refused.
`
}
