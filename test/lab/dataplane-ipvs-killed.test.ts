/**
 * A process that ends before each message of a change in turn: another one finds what it left, and makes of it what a fresh
 * start makes, while a connection goes on. By SIGKILL; under emulation, where a process takes seconds to start, by sockets
 * that send nothing from that message on, which the kernel cannot tell from it.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Test } from 'tap'
import { openIpvsDataplane } from '../../src/dataplane/ipvs/index.js'
import { Ipvs } from '../../src/ipvs/index.js'
import type { VirtualService } from '../../src/model/index.js'
import { NetworkNamespace } from '../../src/net/index.js'
import { Rtnetlink } from '../../src/rtnetlink/index.js'
import type { Host } from '../../src/testing/index.js'
import { type MakeSandbox, many } from '../kernel/kernel-test.js'
import { ipvsTest } from './ipvs-test.js'
import { balanced, connect, type Held, server, virtualAddress } from './support/balanced.js'
import { contentOf, differenceOf } from './support/ipvs-content.js'
import { type Ending, killedProcess, runUntil } from './support/killed-ipvs-process.js'
import { endpoint, nodeOf, virtualService } from './support/virtual-services.js'

const mostSends = 100
const isSlow = many(50) !== 50
const other = [{ kind: 'cluster', address: '10.96.0.11', port: 53 }] as const

/** Whether it was ended before its end. */
async function endBefore(host: Host, ending: Ending, send: number, file: string): Promise<boolean> {
  if (isSlow) {
    let wasEnded = false
    await runUntil(host.netns, ending, send, () => {
      wasEnded = true
      throw new Error('nothing is sent any more')
    }).catch((error: unknown) => {
      if (!wasEnded) throw error
    })
    return wasEnded
  }
  writeFileSync(file, JSON.stringify(ending))
  const namespace = `/proc/${process.pid}/fd/${host.netns.fd}`
  const child = spawn(process.execPath, [killedProcess, namespace, file, String(send)], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const [code, signal] = (await once(child, 'exit')) as [number | null, string | null]
  if (code !== 0 && signal !== 'SIGKILL') throw new Error(`the child ended with ${code ?? signal}`)
  return code !== 0
}

interface Situation extends Omit<Ending, 'node'> {
  /** Opens the connection that is to go on. */
  readonly hold: (client: Host) => Promise<Held>
}

async function eachSend(t: Test, sandbox: MakeSandbox, { hold, ...situation }: Situation): Promise<void> {
  const { client, director } = (await balanced(sandbox)).hosts
  await using fresh = NetworkNamespace.create()
  const file = path.join(tmpdir(), `viaduct-killed-ipvs-${process.pid}.json`)
  t.teardown(() => rmSync(file, { force: true }))
  await using rtnetlink = await Rtnetlink.open({ netns: fresh })
  // IPVS asks for the route to a server.
  await rtnetlink.links.set('lo', { up: true })
  const foreign = { protocol: 'tcp', address: virtualAddress, port: 80 } as const
  for (const netns of [director.netns, fresh]) {
    await using ipvs = await Ipvs.open({ netns })
    await ipvs.createService({ ...foreign, scheduler: 'rr' })
    await ipvs.createDestination(foreign, server('a'))
  }

  const node = nodeOf(director)
  const { before, upserted, deleted } = situation
  const after = new Map<string, VirtualService>((before ?? []).map((one) => [one.key, one]))
  for (const key of deleted) after.delete(key)
  for (const one of upserted) after.set(one.key, one)
  const freshly = await openIpvsDataplane({ netns: fresh, node })
  await freshly.synchronize(after.values())
  const wanted = await contentOf(fresh)
  freshly.close()

  let held: Held | undefined
  let send = 1
  for (let isOver = false; !isOver; send++) {
    if (send > mostSends) throw new Error('it does not come to an end')
    const first = await openIpvsDataplane({ netns: director.netns, node })
    if (before === undefined) await first.teardown()
    else await first.synchronize(before)
    first.close()
    held ??= await hold(client)
    isOver = !(await endBefore(director, { node, ...situation }, send, file))
    const dataplane = await openIpvsDataplane({ netns: director.netns, node })
    const { failures, writes, conditions } = await dataplane.synchronize(after.values())
    t.same([...failures], [])
    const reasons = [...conditions.values()].flat().map(({ reason }) => reason)
    t.notOk(reasons.includes('AddressTaken'), 'what the other one left is its own')
    t.same(differenceOf(await contentOf(director.netns), wanted), [], `ended before send ${send}`)
    if (isOver) t.equal(writes, 0, 'nothing was left to be done')
    dataplane.close()
    held.socket.write('?')
    const [bytes] = (await once(held.socket, 'data', { signal: AbortSignal.timeout(20_000) })) as [Buffer]
    t.equal(String(bytes), held.server, 'the connection goes on')
  }
  held?.socket.destroy()
  t.ok(send > 3, `${send - 2} sends`)
}

ipvsTest('ended in the first programming', async (t, sandbox) => {
  await eachSend(t, sandbox, {
    before: undefined,
    upserted: [
      virtualService('web', { cluster: [endpoint('a'), endpoint('b')] }),
      virtualService('names', { cluster: [endpoint('c')] }, { protocol: 'udp', frontends: other }),
    ],
    deleted: [],
    hold: (client) => connect(client, { address: virtualAddress, port: 80 }),
  })
})

ipvsTest('ended in a change', async (t, sandbox) => {
  const web = virtualService('web', { cluster: [endpoint('a')] })
  const names = virtualService('names', { cluster: [endpoint('c')] }, { protocol: 'udp', frontends: other })
  await eachSend(t, sandbox, {
    before: [web, names],
    upserted: [
      virtualService(
        'web',
        { cluster: [endpoint('a', { weight: 2 }), endpoint('b')] },
        {
          affinitySeconds: 60,
          frontends: [...web.frontends, { kind: 'external', address: '203.0.113.90', port: 80 }],
        },
      ),
    ],
    deleted: [names.key],
    hold: (client) => connect(client, { address: '10.96.0.10', port: 80 }),
  })
})
