/** IPVS is unloaded and loaded while a client is open: its family has another number then. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { GenericFamily } from '../../src/genetlink/index.js'
import { Ipvs, type ServiceKey } from '../../src/index.js'
import { IPVS_GENL_NAME, IPVS_GENL_VERSION } from '../../src/ipvs/wire.js'
import { Connection, NETLINK_GENERIC, openSocket } from '../../src/netlink/index.js'
import { ipvsTest } from './ipvs-test.js'
import { until } from './support/until.js'

const web: ServiceKey = { protocol: 'tcp', address: '192.0.2.10', port: 80 }

/** Schedulers and engines before what they hold. */
function loaded(): string[] {
  const names = [...readFileSync('/proc/modules', 'latin1').matchAll(/^ip_vs\w*/gm)].map(([name]) => name)
  return names.sort((a, b) => b.length - a.length)
}

async function familyNumber(): Promise<number> {
  const connection = new Connection(openSocket({ protocol: NETLINK_GENERIC }))
  try {
    return (await GenericFamily.open(connection, IPVS_GENL_NAME, IPVS_GENL_VERSION)).id
  } finally {
    connection.close()
  }
}

/** On a machine's own kernel the module may be somebody else's. */
const isOurs = process.env['VIADUCT_LAB'] !== undefined && loaded().includes('ip_vs')

if (isOurs) {
  ipvsTest('a client outlives the module: commands, dumps and batches find it again', async (t, sandbox) => {
    const { netns } = (await sandbox({ hosts: ['director'] })).hosts.director
    await using ipvs = await Ipvs.open({ netns })
    const reload = async (): Promise<void> => {
      const before = await familyNumber()
      const modules = loaded()
      // Namespaces of earlier tests go some time after they were closed, and hold it until then.
      await until('nobody holds the module any more', () => {
        try {
          execFileSync('rmmod', loaded(), { stdio: 'pipe' })
          return true
        } catch {
          return undefined
        }
      })
      // All of them: 6.1 locks up where a service is the first to name lblc (docs/guides/lab.md).
      execFileSync('modprobe', ['-a', ...modules])
      t.not(await familyNumber(), before, 'its number is another one')
    }
    await reload()
    await ipvs.createService({ ...web, scheduler: 'rr' })
    t.equal((await ipvs.services()).length, 1)
    await ipvs.deleteService(web)
    await reload()
    t.same(await ipvs.services(), [])
    await reload()
    t.match(await ipvs.apply([{ operation: 'createService', service: web }]), { applied: 1, failures: [] })
    await ipvs.flush()
  })
}
