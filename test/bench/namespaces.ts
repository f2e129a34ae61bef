/** A fresh namespace for each case. */
import { NetworkNamespace } from '../../src/net/index.js'
import { Rtnetlink } from '../../src/rtnetlink/index.js'
import type { Place } from './processes.js'

/**
 * A fresh namespace with lo up, for one case; gone, and let go of by the kernel, when the case is through. It has no
 * name, so it ends with this process and those in it, however they end.
 */
export async function inNamespace<T>(work: (netns: Place) => Promise<T>): Promise<T> {
  const result = await inOne(work)
  // A namespace's links go before netfilter's part of it and after IPVS', and one namespace goes after the other
  // (net/core/net_namespace.c): when the links of a later one are gone, nothing is left of this one.
  await inOne(() => Promise.resolve())
  return result
}

async function inOne<T>(work: (netns: Place) => Promise<T>): Promise<T> {
  await using outside = NetworkNamespace.create()
  await using netns = NetworkNamespace.create()
  const inside = await Rtnetlink.open({ netns })
  await inside.links.set('lo', { up: true })
  inside.close()
  await using links = await Rtnetlink.open({ netns: outside })
  await links.links.add({ kind: 'veth', name: sentinel, data: { peer: { name: 'other', netns } } })
  let result: T
  try {
    result = await work({ path: `/proc/${process.pid}/fd/${netns.fd}` })
  } finally {
    netns.close()
  }
  await linksGone(links)
  return result
}

async function linksGone(outside: Rtnetlink): Promise<void> {
  const deadline = performance.now() + letGoMilliseconds
  while ((await outside.links.find(sentinel)) !== undefined) {
    if (performance.now() > deadline) throw new Error('void: a namespace that was closed is still there')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

const sentinel = 'sentinel'
const letGoMilliseconds = 120_000
