/** Routers of a test: what they tell, with the time. */
import { type LeaderEvent, VrrpLeader, type VrrpOptions } from '../../../src/edge/index.js'
import type { Host } from '../../../src/testing/index.js'

/** A leader and what became of it; `next` waits for the next change. */
export interface Watched {
  readonly leader: VrrpLeader
  readonly told: (LeaderEvent & { readonly at: number })[]
  /** When it became so, or was. */
  until(event: LeaderEvent['event']): Promise<number>
}

export async function startLeader(
  host: Host,
  options: Omit<VrrpOptions, 'netns' | 'device'> & { readonly device?: string },
): Promise<Watched> {
  const leader = await VrrpLeader.start({ netns: host.netns, device: 'eth0', ...options })
  const told: (LeaderEvent & { readonly at: number })[] = []
  leader.subscribe((event) => void told.push({ ...event, at: performance.now() }))
  return {
    leader,
    told,
    until: async (event) => {
      await until(
        () => told.at(-1)?.event === event,
        () => `${event} of ${host.name}: ${JSON.stringify(leader.status())}`,
      )
      return told.at(-1)!.at
    },
  }
}

/** Until it is so: looked at again every 5 ms, for 20 s at most. Returns when that was. */
export async function until(
  isSo: () => boolean | Promise<boolean>,
  describe: () => string = () => String(isSo),
): Promise<number> {
  const end = performance.now() + 20_000
  while (!(await isSo())) {
    if (performance.now() > end) throw new Error(`it did not come about: ${describe()}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  return performance.now()
}
