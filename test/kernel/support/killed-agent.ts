/** `viaduct run` that is killed at moments that nobody chose: the next start goes on with what was written last. */
import { mkdir, readdir } from 'node:fs/promises'
import path from 'node:path'
import type { Test } from 'tap'
import { StateFile } from '../../../src/agent/state-file.js'
import { openNftablesDataplane } from '../../../src/dataplane/nftables/dataplane.js'
import { ask, serverPort } from '../services-network.js'
import { differences, replaceFile, shortForm } from './programmed.js'
import { place, startCommand } from './running.js'
import { seeded } from './seeds.js'

const serviceCount = 100

export async function killedAtAnyMoment(t: Test, rounds: number): Promise<void> {
  const random = seeded(t)
  const { hosts, folder, words, configure, start } = await place(t)
  const { client, node, a, b, c } = hosts
  const many = path.join(folder, 'many')
  const kept = path.join(folder, 'kept')
  await mkdir(many)
  await mkdir(kept)
  const file = new StateFile(path.join(kept, 'state'))
  await configure({ manifests: [many], state: { file: file.file } })
  await replaceFile(folder, 'manifests.yaml', '{}')
  const dataplane = await openNftablesDataplane({ netns: node.netns })
  t.teardown(() => dataplane.close())
  const wanted = new Map<string, readonly string[]>()
  const change = async (count: number): Promise<void> => {
    for (const at of random.some([...Array(serviceCount).keys()], count, count)) {
      const servers = random.some([a, b, c], 1).map((host) => host.address)
      const address = `172.30.1.${at + 1}`
      await replaceFile(many, `${at}.yaml`, shortForm(`web-${at}`, address, servers, serverPort))
      wanted.set(address, servers)
    }
  }
  await change(serviceCount)
  const isAsWritten = async (when: string): Promise<void> => {
    t.strictSame(await differences(dataplane, wanted), [], `${when}: everything is as it was written last`)
    const [address, servers] = random.of([...wanted])
    const [answer] = await ask(client, address)
    const may = [a, b, c].filter((host) => servers.includes(host.address)).map(({ name }) => name)
    t.ok(may.includes(answer!), 'and so it is reached')
  }
  let [saved, unfinished] = [0, 0]
  for (let round = 0; round < rounds; round++) {
    // Before it has begun, while it reads, programs, follows, and when it saves after a second.
    const isEarly = random.once(4)
    const running = isEarly ? startCommand(node.netns, words) : await start()
    if (!isEarly) await isAsWritten(`round ${round}`)
    const killed = new Promise<void>((resolve) => {
      setTimeout(() => resolve(void running.process.kill('SIGKILL')), random.below(1300))
    })
    for (let burst = random.below(4); burst > 0; burst--) await change(1 + random.below(40))
    await killed
    await running.ended
    if (random.once(2)) await change(10)
    // It throws where it is not as it was written.
    if ((await file.read()) !== undefined) saved++
    const names = await readdir(kept)
    t.strictSame(
      names.filter((name) => !['state', 'state.unfinished'].includes(name)),
      [],
      'nothing piles up',
    )
    if (names.includes('state.unfinished')) unfinished++
  }
  const last = await start()
  await isAsWritten('at last')
  last.process.kill('SIGTERM')
  t.equal(await last.ended, 0)
  t.strictSame(await readdir(kept), ['state'], 'nothing unfinished is left by one that ends in order')
  t.comment(`${saved} of ${rounds} had a state, ${unfinished} were killed while they wrote it`)
}
