/** docs/guides/containers.md: which capability what needs. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { ipvsTest } from './ipvs-test.js'

ipvsTest('CAP_NET_ADMIN alone suffices in the current namespace, and not for another', async (t, sandbox) => {
  const { director } = (await sandbox({ hosts: ['director'] })).hosts
  const script = `
    import { Ipvs } from ${JSON.stringify(new URL('../../src/index.js', import.meta.url).href)}
    const tell = (error) => error.code
    const ipvs = await Ipvs.open()
    await ipvs.createService({ protocol: 'tcp', address: '10.0.0.1', port: 80 })
    const elsewhere = await Ipvs.open({ netns: { pid: ${process.pid} } }).then(() => 'opened', tell)
    console.log(JSON.stringify({ services: (await ipvs.services()).length, elsewhere }))
    ipvs.close()`
  const run = async (capabilities: string): Promise<string> => {
    const namespace = `--net=/proc/${process.pid}/fd/${director.netns.fd}`
    const args = ['setpriv', '--inh-caps', capabilities, '--bounding-set', capabilities]
    const node = [process.execPath, '--input-type=module', '-e', script]
    const { stdout } = await promisify(execFile)('nsenter', [namespace, ...args, ...node])
    return stdout
  }
  // EACCES for looking at a process that may do more, EPERM for entering.
  t.match(JSON.parse(await run('-all,+net_admin')), { services: 1, elsewhere: /^(EACCES|EPERM)$/ })
  await t.rejects(run('-all,+sys_admin'), /EPERM.*initial user namespace/s, 'and without it nothing goes')
})
