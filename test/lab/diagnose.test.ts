/** `diagnose()` on kernels that have IPVS: what it finds is what is so. */
import { execFileSync } from 'node:child_process'
import t from 'tap'
import { diagnose, type Diagnosis, Ipvs, schedulers } from '../../src/index.js'
import { ipvsTest } from './ipvs-test.js'
import { isHere } from './support/features.js'

const finding = ({ findings }: Diagnosis, id: string) => findings.find((found) => found.id === id)

ipvsTest('a namespace is followed from its making to its use', async (t, sandbox) => {
  const net = await sandbox({ hosts: ['one'] })
  const { one } = net.hosts
  const link = (up: boolean): Promise<void> => one.rtnetlink.links.set('lo', { up })
  await using ipvs = await Ipvs.open({ netns: one.netns })

  const good = await ipvs.diagnose()
  t.ok(good.ready)
  t.match(finding(good, 'ipvs'), { level: 'ok', title: 'IPVS 1.2.1 answers' })
  t.match(finding(good, 'loopback'), { level: 'ok' })

  await link(false)
  const down = await ipvs.diagnose()
  t.notOk(down.ready)
  t.match(finding(down, 'loopback'), { level: 'problem', remedy: /ip link set lo up/ })
  // What it says to do is a command.
  execFileSync('sh', ['-c', /`(.*)`/.exec(finding(down, 'loopback')!.remedy!)![1]!])
  t.match(finding(await ipvs.diagnose(), 'loopback'), { level: 'ok' })
  await link(false)
  await link(true)
  t.ok((await ipvs.diagnose()).ready)

  t.match(finding(good, 'sysctl.net.ipv4.ip_forward'), { level: 'note', title: 'net.ipv4.ip_forward is 0' })
  one.sysctl('net.ipv4.ip_forward', 1)
  t.match(finding(await ipvs.diagnose(), 'sysctl.net.ipv4.ip_forward'), { level: 'ok' })

  t.match(finding(good, 'sysctl.net.ipv4.vs.conntrack'), { level: 'note' })
  await ipvs.settings.set({ conntrack: true, expireNodestConn: true, expireQuiescentTemplate: true })
  const set = await ipvs.diagnose()
  for (const name of ['conntrack', 'expire_nodest_conn', 'expire_quiescent_template']) {
    t.equal(finding(set, `sysctl.net.ipv4.vs.${name}`), undefined, name)
  }

  one.sysctl('net.ipv6.conf.all.disable_ipv6', 1)
  t.match(finding(await ipvs.diagnose(), 'ipv6'), { level: 'note', title: /disabled/ })
})

ipvsTest('modules are found as they are', async (t) => {
  await using ipvs = await Ipvs.open()
  const service = { protocol: 'tcp', address: '192.0.2.200', port: 4242 } as const
  await ipvs.createService({ ...service, scheduler: 'sed' })
  const { modules } = await diagnose()
  await ipvs.deleteService(service)
  const there = ['loaded', 'built-in']
  t.ok(there.includes(modules['ip_vs'] ?? ''), `ip_vs ${modules['ip_vs']}`)
  t.ok(there.includes(modules['ip_vs_sed'] ?? ''), `ip_vs_sed ${modules['ip_vs_sed']}`)
  t.ok(there.includes(modules['nf_conntrack'] ?? ''), `nf_conntrack ${modules['nf_conntrack']}`)
  for (const name of Object.keys(schedulers)) {
    const state = modules[`ip_vs_${name}`]!
    const expected = (await isHere(`scheduler-${name}`)) ? [...there, 'loadable', 'host'] : ['absent']
    t.ok(expected.includes(state), `${name}: ${state}`)
  }
})

void t.test('asking for nothing changes nothing, and says as much', async (t) => {
  const asked = await diagnose()
  const silent = await diagnose({ ask: false })
  t.strictSame(silent.modules, asked.modules)
  t.equal(finding(silent, 'ipvs'), undefined)
  t.equal(silent.ready, asked.ready)
})
