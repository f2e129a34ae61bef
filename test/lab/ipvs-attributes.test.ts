/** Every attribute is written, read back, and compared with what Debian's ipvsadm shows of it. */
import {
  type DaemonInput,
  type DestinationInput,
  Ipvs,
  type ServiceInput,
  type ServiceKey,
} from '../../src/index.js'
import { destinationId, serviceId } from '../../src/ipvs/input.js'
import { ipvsTest } from './ipvs-test.js'
import { ipvsadm } from './ipvsadm-peer.js'
import { uses } from './support/features.js'

const web: ServiceKey = { protocol: 'tcp', address: '10.0.0.1', port: 80 }

/** Each with the line that `ipvsadm -Sn` prints for it. */
const services: readonly (readonly [ServiceInput, string])[] = [
  [
    { ...web, scheduler: 'sh', schedulerFlags: ['sh-fallback', 'sh-port'] },
    '-t 10.0.0.1:80 -s sh -b sh-fallback,sh-port',
  ],
  [{ ...web, port: 81, scheduler: 'mh', schedulerFlags: ['mh-port'] }, '-t 10.0.0.1:81 -s mh -b mh-port'],
  [
    { ...web, port: 82, scheduler: 'mh', schedulerFlags: ['mh-fallback'] },
    '-t 10.0.0.1:82 -s mh -b mh-fallback',
  ],
  [{ ...web, port: 83, scheduler: 'rr', schedulerFlags: ['flag-3'] }, '-t 10.0.0.1:83 -s rr -b flag-3'],
  [
    { ...web, port: 84, scheduler: 'rr', persistenceTimeoutSeconds: 60, persistenceNetmask: 24 },
    '-t 10.0.0.1:84 -s rr -p 60 -M 255.255.255.0',
  ],
  [
    {
      ...web,
      port: 85,
      scheduler: 'rr',
      persistenceTimeoutSeconds: 2_678_400,
      persistenceNetmask: '255.0.255.0',
    },
    '-t 10.0.0.1:85 -s rr -p 2678400 -M 255.0.255.0',
  ],
  [{ ...web, port: 0, scheduler: 'wrr', persistenceTimeoutSeconds: 1 }, '-t 10.0.0.1:0 -s wrr -p 1'],
  [{ ...web, port: 65_535 }, '-t 10.0.0.1:65535 -s wlc'],
  [
    { protocol: 'udp', address: '10.0.0.1', port: 53, scheduler: 'rr', onePacket: true },
    '-u 10.0.0.1:53 -s rr -o',
  ],
  [
    {
      protocol: 'udp',
      address: '10.0.0.1',
      port: 5060,
      scheduler: 'rr',
      persistenceTimeoutSeconds: 60,
      persistenceEngine: 'sip',
    },
    '-u 10.0.0.1:5060 -s rr -p 60 --pe sip',
  ],
  [{ protocol: 'sctp', address: '10.0.0.1', port: 90, scheduler: 'lc' }, '--sctp-service 10.0.0.1:90 -s lc'],
  [
    {
      protocol: 'tcp',
      address: '2001:db8::1',
      port: 80,
      persistenceTimeoutSeconds: 100,
      persistenceNetmask: 64,
    },
    '-t [2001:db8::1]:80 -s wlc -p 100 -M 64',
  ],
  [{ protocol: 'udp', address: '2001:db8::1', port: 53, scheduler: 'lc' }, '-u [2001:db8::1]:53 -s lc'],
  [{ firewallMark: 7, family: 'ipv4', scheduler: 'rr', persistenceTimeoutSeconds: 9 }, '-f 7 -s rr -p 9'],
  [{ firewallMark: 2_147_483_647, family: 'ipv6', scheduler: 'rr' }, '-f 2147483647 -6 -s rr'],
]

const destinations: readonly (readonly [ServiceKey, DestinationInput, string])[] = [
  [
    web,
    { address: '10.9.0.1', port: 8080, weight: 5, upperThreshold: 100, lowerThreshold: 50 },
    '-r 10.9.0.1:8080 -m -w 5',
  ],
  [web, { address: '10.9.0.2', weight: 0, forwardingMethod: 'direct-route' }, '-r 10.9.0.2:80 -g -w 0'],
  [web, { address: '10.9.0.3', forwardingMethod: 'tunnel' }, '-r 10.9.0.3:80 -i -w 1 --tun-type ipip'],
  [
    web,
    {
      address: '10.9.0.4',
      forwardingMethod: 'tunnel',
      tunnelType: 'gue',
      tunnelPort: 6080,
      tunnelFlags: ['checksum'],
    },
    '-r 10.9.0.4:80 -i -w 1 --tun-type gue --tun-port 6080 --tun-csum',
  ],
  [
    web,
    {
      address: '10.9.0.5',
      forwardingMethod: 'tunnel',
      tunnelType: 'gue',
      tunnelPort: 1,
      tunnelFlags: ['remote-checksum'],
    },
    '-r 10.9.0.5:80 -i -w 1 --tun-type gue --tun-port 1 --tun-remcsum',
  ],
  [
    web,
    { address: '10.9.0.6', forwardingMethod: 'tunnel', tunnelType: 'gue', tunnelPort: 65_535 },
    '-r 10.9.0.6:80 -i -w 1 --tun-type gue --tun-port 65535 --tun-nocsum',
  ],
  [
    web,
    { address: '10.9.0.7', forwardingMethod: 'tunnel', tunnelType: 'gre', tunnelFlags: ['checksum'] },
    '-r 10.9.0.7:80 -i -w 1 --tun-type gre --tun-csum',
  ],
  [
    web,
    { address: '10.9.0.8', forwardingMethod: 'tunnel', tunnelType: 'gre' },
    '-r 10.9.0.8:80 -i -w 1 --tun-type gre --tun-nocsum',
  ],
  [
    web,
    { address: '2001:db8::7', forwardingMethod: 'tunnel', weight: 2_147_483_647 },
    '-r [2001:db8::7]:80 -i -w 2147483647 --tun-type ipip',
  ],
  [
    { protocol: 'tcp', address: '2001:db8::1', port: 80 },
    { address: '2001:db8::8', port: 8080, weight: 65_535, upperThreshold: 2_147_483_647 },
    '-r [2001:db8::8]:8080 -m -w 65535',
  ],
  [
    { protocol: 'tcp', address: '2001:db8::1', port: 80 },
    { address: '10.9.0.9', forwardingMethod: 'tunnel' },
    '-r 10.9.0.9:80 -i -w 1 --tun-type ipip',
  ],
  [{ firewallMark: 7, family: 'ipv4' }, { address: '10.9.0.1' }, '-r 10.9.0.1:0 -m -w 1'],
  [
    { firewallMark: 2_147_483_647, family: 'ipv6' },
    { address: '2001:db8::9', port: 443 },
    '-r [2001:db8::9]:443 -m -w 1',
  ],
]

/** The words of a line, whatever their order. */
function words(line: string): string {
  return line.trim().split(/ +/).sort().join(' ')
}

ipvsTest(
  'services and destinations read back as they were written, and ipvsadm agrees',
  async (t, sandbox) => {
    const { director } = (await sandbox({ hosts: ['director'] })).hosts
    await using ipvs = await Ipvs.open({ netns: director.netns })
    const batch = ipvs.batch()
    for (const [service] of services) batch.createService(service)
    for (const [service, destination] of destinations) batch.createDestination(service, destination)
    const outcome = await batch.send()
    t.same(
      outcome.failures.map(({ error }) => error.message),
      [],
    )
    t.equal(outcome.applied, services.length + destinations.length)

    const list = new Map((await ipvs.list()).map((entry) => [serviceId(entry.service), entry]))
    t.equal(list.size, services.length)
    for (const [input] of services) {
      const entry = list.get(serviceId(input))
      const { family, protocol, ...given } = { family: undefined, protocol: undefined, ...input }
      t.match(
        entry?.service,
        {
          scheduler: 'wlc',
          persistenceTimeoutSeconds: 0,
          onePacket: false,
          ...given,
          ...(family && { family }),
          ...(protocol && { protocol }),
        },
        `service ${serviceId(input)}`,
      )
      t.match((await ipvs.service(input))?.scheduler, entry?.service.scheduler, 'one by one, too')
      t.equal(entry?.service.unknown, undefined, 'no attribute of it is unknown to us')
    }
    for (const [service, input] of destinations) {
      const read = list
        .get(serviceId(service))
        ?.destinations.find((other) => destinationId(service, other) === destinationId(service, input))
      t.match(
        read,
        { weight: 1, forwardingMethod: 'masquerade', upperThreshold: 0, lowerThreshold: 0, ...input },
        `destination ${destinationId(service, input)}`,
      )
      t.equal(read?.unknown, undefined, 'no attribute of it is unknown to us')
      t.type(read?.statistics.connections, 'bigint')
    }

    const saved = new Set((await ipvsadm(director, ['-S', '-n'])).trim().split('\n').map(words))
    const expected = new Set([
      ...services.map(([, line]) => words(`-A ${line}`)),
      ...destinations.map(([key, , line]) => {
        const [, service] = services.find(([input]) => serviceId(input) === serviceId(key))!
        return words(`-a ${service.replace(/ -[spMbo] .*| --pe.*/, '')} ${line}`)
      }),
    ])
    for (const line of expected)
      t.ok(saved.has(line) || saved.has(line.replace('--tun-nocsum ', '')), `ipvsadm -Sn: ${line}`)
    t.equal(saved.size, expected.size)
    const thresholds = await ipvsadm(director, ['-L', '-n', '--thresholds'])
    t.match(thresholds, /10\.9\.0\.1:8080 +100 +50 /)
    t.match(thresholds, /\[2001:db8::8\]:8080 +2147483647 +0 /)
  },
)

ipvsTest('changes are seen: set replaces, delete deletes', async (t, sandbox) => {
  const { director } = (await sandbox({ hosts: ['director'] })).hosts
  await using ipvs = await Ipvs.open({ netns: director.netns })
  await ipvs.createService({ ...web, scheduler: 'rr', persistenceTimeoutSeconds: 60 })
  await ipvs.createDestination(web, {
    address: '10.9.0.1',
    weight: 3,
    upperThreshold: 9,
    forwardingMethod: 'direct-route',
  })
  await ipvs.setService({ ...web, scheduler: 'wrr' })
  t.match(await ipvs.service(web), { scheduler: 'wrr', persistenceTimeoutSeconds: 0 })
  await ipvs.setDestination(web, { address: '10.9.0.1', weight: 4 })
  t.match(await ipvs.destinations(web), [{ weight: 4, upperThreshold: 0, forwardingMethod: 'masquerade' }])
  await ipvs.deleteDestination(web, { address: '10.9.0.1' })
  t.same(await ipvs.destinations(web), [], 'an empty service has an empty list')
  await ipvs.deleteService(web)
  t.equal(await ipvs.service(web), undefined)
  t.same(await ipvs.services(), [])
})

ipvsTest('timeouts, info, zero and flush', async (t, sandbox) => {
  const { director } = (await sandbox({ hosts: ['director'] })).hosts
  await using ipvs = await Ipvs.open({ netns: director.netns })
  const before = await ipvs.timeouts()
  t.match(before, { tcpSeconds: 900, tcpFinSeconds: 120, udpSeconds: 300 })
  await ipvs.setTimeouts({ tcpSeconds: 1200, udpSeconds: 77 })
  t.same(await ipvs.timeouts(), { tcpSeconds: 1200, tcpFinSeconds: 120, udpSeconds: 77 })
  t.match(await ipvsadm(director, ['-L', '--timeout']), /1200 120 77/)
  t.match((await ipvs.info()).version, /^1\.2\.\d+$/)
  const { connectionTableSize } = await ipvs.info()
  t.match(await ipvsadm(director, ['-L', '-n']), `(size=${connectionTableSize})`)
  await t.rejects(ipvs.setTimeouts({ tcpSeconds: 0 }), /timeouts\.tcpSeconds/)
  await ipvs.createService(web)
  await ipvs.zero(web)
  await ipvs.zero()
  await t.rejects(ipvs.zero({ ...web, port: 99 }), { code: 'ESRCH', operation: 'ipvs.zero' })
  await ipvs.flush()
  t.same(await ipvs.services(), [])
})

ipvsTest('sync daemons with all their options', async (t, sandbox) => {
  const { director } = (await sandbox({ hosts: ['director'] })).hosts
  await using ipvs = await Ipvs.open({ netns: director.netns })
  const master: DaemonInput = {
    state: 'master',
    interface: 'lo',
    syncId: 42,
    maximumLength: 1400,
    multicastGroup: '224.0.0.99',
    multicastPort: 9999,
    multicastTtl: 3,
  }
  await ipvs.startDaemon(master)
  t.match(await ipvs.daemons(), [master])
  t.match(
    await ipvsadm(director, ['-L', '--daemon']),
    /master sync daemon \(mcast=lo, syncid=42, maxlen=1400, group=224\.0\.0\.99, port=9999, ttl=3\)/,
  )
  const backup: DaemonInput = { state: 'backup', interface: 'lo', syncId: 7, multicastGroup6: 'ff02::99' }
  await ipvs.startDaemon(backup)
  t.match(
    (await ipvs.daemons()).find(({ state }) => state === 'backup'),
    backup,
  )
  await t.rejects(ipvs.startDaemon(master), {
    code: 'EEXIST',
    operation: 'ipvs.startDaemon',
    hint: /stop it first/,
  })
  t.match(
    await ipvsadm(director, ['-L', '--daemon']),
    /backup sync daemon \(mcast=lo, syncid=7, maxlen=\d+, group=ff02::99, port=8848, ttl=1\)/,
  )
  const key: ServiceKey = { protocol: 'tcp', address: '10.0.0.1', port: 80 }
  await ipvs.createService(key)
  await t.rejects(
    ipvs.createDestination(key, { address: 'fd00::1', forwardingMethod: 'tunnel' }),
    { code: 'EINVAL', hint: /not while a sync daemon runs/ },
    'the other family, while a daemon runs',
  )
  await ipvs.stopDaemon('master')
  await t.rejects(ipvs.startDaemon({ ...master, interface: 'nope' }), { code: 'ENODEV' })
  await ipvs.stopDaemon('backup')
  t.same(await ipvs.daemons(), [])
  await t.rejects(ipvs.stopDaemon('master'), { code: 'ESRCH' })
  uses('ipvs-sync-daemon')
})
