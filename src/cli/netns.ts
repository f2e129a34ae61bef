import type { Netns } from '../net/index.js'

/** What `--netns` says: a name of `ip netns`, or a file. */
export function netnsOf(text: string | undefined): Netns | undefined {
  return text?.includes('/') === true ? { path: text } : text
}
