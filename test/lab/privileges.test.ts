/** docs/guides/containers.md: which capability what needs. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Diagnosis } from '../../src/index.js'
import { NetworkNamespace } from '../../src/net/index.js'
import { ipvsTest } from './ipvs-test.js'

ipvsTest('each thing goes with the capabilities that are said, and not without', async (t, sandbox) => {
  const { director } = (await sandbox({ hosts: ['director'] })).hosts
  const name = `viaduct-privileges-${process.pid}`
  const script = `
    import { Ipvs } from ${JSON.stringify(new URL('../../src/index.js', import.meta.url).href)}
    const opened = (netns) => Ipvs.open({ netns }).then((ipvs) => (ipvs.close(), 'opened'), ({ code }) => code)
    const ipvs = await Ipvs.open()
    const service = { protocol: 'tcp', address: '10.0.0.1', port: 80 }
    await ipvs.createService(service)
    const services = (await ipvs.services()).length
    await ipvs.deleteService(service)
    await ipvs.settings.set({ expireNodestConn: true })
    for await (const _ of ipvs.connections()) break
    console.log(JSON.stringify({
      services,
      byPid: await opened({ pid: ${process.pid} }),
      byName: await opened(${JSON.stringify(name)}),
    }))
    ipvs.close()`
  const run = async (capabilities: string): Promise<unknown> => {
    const namespace = `--net=/proc/${process.pid}/fd/${director.netns.fd}`
    const args = ['setpriv', '--inh-caps', capabilities, '--bounding-set', capabilities]
    const node = [process.execPath, '--input-type=module', '-e', script]
    const { stdout } = await promisify(execFile)('nsenter', [namespace, ...args, ...node])
    return JSON.parse(stdout)
  }
  NetworkNamespace.createNamed(name).close()
  try {
    t.same(await run('-all,+net_admin'), { services: 1, byPid: 'EACCES', byName: 'EPERM' })
    t.same(await run('-all,+net_admin,+sys_admin'), { services: 1, byPid: 'EACCES', byName: 'opened' })
    t.same(await run('-all,+net_admin,+sys_admin,+sys_ptrace'), {
      services: 1,
      byPid: 'opened',
      byName: 'opened',
    })
    await t.rejects(run('-all,+sys_admin'), /EPERM.*initial user namespace/s, 'and without it nothing goes')
  } finally {
    NetworkNamespace.delete(name)
  }
})

ipvsTest('a diagnosis tells which privilege is missing', async (t, sandbox) => {
  const { director } = (await sandbox({ hosts: ['director'] })).hosts
  const script = `
    import { diagnose } from ${JSON.stringify(new URL('../../src/index.js', import.meta.url).href)}
    console.log(JSON.stringify(await diagnose()))`
  const problems = async (...wrapper: string[]): Promise<string[]> => {
    const namespace = `--net=/proc/${process.pid}/fd/${director.netns.fd}`
    const node = [process.execPath, '--input-type=module', '-e', script]
    const { stdout } = await promisify(execFile)('nsenter', [namespace, ...wrapper, ...node])
    const { ready, findings } = JSON.parse(stdout) as Diagnosis
    t.equal(ready, wrapper.length === 0, wrapper.join(' '))
    return findings.filter(({ level }) => level === 'problem').map(({ id }) => id)
  }
  t.same(await problems(), [])
  const without = ['--inh-caps', '-net_admin', '--bounding-set', '-net_admin']
  t.same(await problems('setpriv', ...without), ['ipvs', 'capability.net_admin'])
  t.same(await problems('unshare', '--user', '--map-root-user'), ['ipvs', 'user-namespace'])
})
