/** Other programs that write into IPVS: told by their interfaces, and by their names where they run. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import t from 'tap'
import { otherOwners } from '../../src/dataplane/ipvs/opening.js'
import { NetworkNamespace } from '../../src/net/index.js'
import { Rtnetlink } from '../../src/rtnetlink/index.js'

void t.test('owners of services in IPVS are told', { timeout: 30_000 }, async (t) => {
  const [here, elsewhere] = [NetworkNamespace.create(), NetworkNamespace.create()]
  const folder = mkdtempSync(path.join(tmpdir(), 'owners-'))
  const children: ChildProcess[] = []
  await using rtnetlink = await Rtnetlink.open({ netns: here })
  t.teardown(() => {
    for (const child of children) child.kill()
    here.close()
    elsewhere.close()
    rmSync(folder, { recursive: true })
  })
  /** A program of this name, which does nothing but wait for its input to end. */
  const start = async (name: string, netns: NetworkNamespace): Promise<ChildProcess> => {
    const program = path.join(folder, name)
    copyFileSync('/bin/cat', program)
    const child = spawn('nsenter', [`--net=/proc/${process.pid}/fd/${netns.fd}`, program])
    children.push(child)
    // It says what it is told: it is there.
    child.stdin.write('x')
    await once(child.stdout, 'data')
    return child
  }
  const owners = async () => (await otherOwners(rtnetlink, here)).map(({ message }) => message)

  t.same(await owners(), [])
  await start('kube-proxy', elsewhere)
  await start('another', here)
  t.same(await owners(), [], 'neither those of other namespaces nor other programs')
  const child = await start('keepalived', here)
  // nsenter has become the program.
  t.match(await owners(), [`keepalived runs here, too (process ${child.pid})`])
  child.stdin!.end()
  await once(child, 'exit')
  t.same(await owners(), [], 'it has ended')
  await rtnetlink.links.add({ kind: 'veth', name: 'kube-ipvs0', data: { peer: { name: 'far' } } })
  t.match(await owners(), ['kube-proxy in its IPVS mode'])
})
