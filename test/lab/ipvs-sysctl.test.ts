/** `net.ipv4.vs.*`: what the kernel has, each of them set and read back, in its namespace alone. */
import { readdirSync } from 'node:fs'
import t from 'tap'
import {
  Ipvs,
  IpvsSettings,
  ipvsSettings,
  type Setting,
  type SettingKey,
  type SettingsInput,
} from '../../src/index.js'
import { ipvsTest } from './ipvs-test.js'
import { isFeature, isHere, uses } from './support/features.js'
import type { Host } from '../../src/testing/index.js'

/** What tells that a setting was set, and not what it was before. */
const others: { readonly [K in SettingKey]: SettingsInput[K] } = {
  amDroprate: 7,
  amemthreshPages: 2048,
  backupOnly: true,
  cacheBypass: true,
  connLfactor: -5,
  connMax: 100_000,
  connReuseMode: 3,
  conntrack: true,
  debugLevel: 1,
  dropEntry: 3,
  dropPacket: 3,
  estCpulist: '0',
  estNice: 5,
  expireNodestConn: true,
  expireQuiescentTemplate: true,
  ignoreTunneled: true,
  lblcExpirationSeconds: 3600,
  lblcrExpirationSeconds: 7200,
  natIcmpSend: true,
  pmtuDisc: false,
  runEstimation: false,
  scheduleIcmp: true,
  secureTcp: 3,
  sloppySctp: true,
  sloppyTcp: true,
  snatReroute: false,
  svcLfactor: -4,
  syncPersistMode: 1,
  syncPorts: 4,
  syncQlenMax: 1234,
  syncRefreshPeriodSeconds: 8,
  syncRetries: 2,
  syncSockSizeBytes: 65_536,
  syncThreshold: { threshold: 2, period: 20 },
  syncVersion: 0,
}

ipvsTest(
  'every setting of the kernel is known, starts as said, and is set in its namespace alone',
  async (t, sandbox) => {
    const net = await sandbox({ hosts: ['one', 'two'] })
    const { one, two } = net.hosts
    await using ipvs = await Ipvs.open({ netns: one.netns })
    // The modules of two schedulers bring a setting each.
    for (const scheduler of ['lblc', 'lblcr']) {
      const service = { protocol: 'tcp', address: '192.0.2.1', port: 80 } as const
      await ipvs.createService({ ...service, scheduler })
      await ipvs.deleteService(service)
    }
    const before = await ipvs.settings.read()
    t.strictSame(before.unknown, {}, 'nothing that the table does not know')
    const there = Object.entries(ipvsSettings).filter(([key]) => before[key as SettingKey] !== undefined)
    t.strictSame(
      there.map(([, { name }]) => name).sort(),
      readdirSync('/proc/sys/net/ipv4/vs').sort(),
      'all files of the folder',
    )
    for (const [key, { name, since }] of Object.entries(ipvsSettings) as [SettingKey, Setting][]) {
      if (since === undefined || name === 'run_estimation') continue
      t.equal(before[key] !== undefined, await isHere(`setting-${name}`), `${name}, since ${since}`)
    }
    for (const [key, { initially }] of there as [SettingKey, Setting][]) {
      if (initially !== undefined) t.strictSame(before[key], initially, `${key} starts as the table says`)
    }

    const untouched = await new IpvsSettings(two.netns).read()
    const values = Object.fromEntries(there.map(([key]) => [key, others[key as SettingKey]]))
    await ipvs.settings.set(values)
    const after = await ipvs.settings.read()
    for (const [key] of there) t.strictSame(after[key as SettingKey], others[key as SettingKey], key)
    uses(...there.map(([, { name }]) => `setting-${name}`).filter(isFeature))
    t.strictSame(await new IpvsSettings(two.netns).read(), untouched, 'another namespace keeps its own')

    await ipvs.settings.set({ unknown: { am_droprate: '9' } })
    t.equal((await ipvs.settings.read()).amDroprate, 9, 'by the kernel’s name, as text')
  },
)

if (await isHere('ipvs-status-file')) {
  ipvsTest('each namespace has tables of its own, and sizes them by its settings', async (t, sandbox) => {
    const { one, two } = (await sandbox({ hosts: ['one', 'two'] })).hosts
    const status = (host: Host, what: string): number =>
      Number(new RegExp(`^${what}:\\s+(\\d+)`, 'm').exec(host.readFile('/proc/net/ip_vs_status'))?.[1])
    for (const [host, svcLfactor, services] of [
      [one, 0, 300],
      [two, -4, 100],
    ] as const) {
      await using ipvs = await Ipvs.open({ netns: host.netns })
      await ipvs.settings.set({ svcLfactor })
      const batch = ipvs.batch()
      for (let port = 1; port <= services; port++) {
        batch.createService({ protocol: 'udp', address: '192.0.2.1', port })
      }
      t.same(await batch.send(), { applied: services, failures: [], notSent: 0 })
    }
    t.same([status(one, 'Services'), status(two, 'Services')], [300, 100])
    t.ok(
      status(one, 'Service buckets') < status(two, 'Service buckets'),
      'a third of the services in more buckets, as svc_lfactor says',
    )
    uses('ipvs-status-file')
  })
}

ipvsTest('what is not there or not permitted is told with what was', async (t, sandbox) => {
  const net = await sandbox({ hosts: ['one'] })
  await using ipvs = await Ipvs.open({ netns: net.hosts.one.netns })
  await t.rejects(ipvs.settings.set({ unknown: { no_such_setting: '1' } }), {
    name: 'UnsupportedError',
    feature: 'net.ipv4.vs.no_such_setting',
  })
  const error: unknown = await ipvs.settings
    .set({ amDroprate: 5, unknown: { no_such_setting: '1', am_droprate: 'nonsense' } })
    .catch((error: unknown) => error)
  t.match(error, {
    name: 'BatchError',
    applied: 1,
    failures: [
      { object: { setting: 'net.ipv4.vs.no_such_setting' }, error: { name: 'UnsupportedError' } },
      {
        object: { setting: 'net.ipv4.vs.am_droprate', value: 'nonsense' },
        error: { name: 'KernelError', code: 'EINVAL', hint: /does not take/ },
      },
    ],
  })
  t.equal((await ipvs.settings.read()).amDroprate, 5, 'the others are set')
})

void t.test('the settings of the first namespace are those of the machine', async (t) => {
  await using ipvs = await Ipvs.open()
  const read = await ipvs.settings.read()
  t.type(read.conntrack, 'boolean')
  t.strictSame(await new IpvsSettings().read(), read)
})
