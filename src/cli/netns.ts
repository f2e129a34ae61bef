import type { Netns } from '../net/index.js'
import { netnsOfText } from '../net/namespace.js'

/** What `--netns` says: a name of `ip netns`, or a file. */
export function netnsOf(text: string | undefined): Netns | undefined {
  return text === undefined ? undefined : netnsOfText(text)
}
