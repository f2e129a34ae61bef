import fc from 'fast-check'
import t from 'tap'
import { isUnsupportedError } from '../../src/errors/index.js'
import { IpvsSettings, ipvsSettings, type Setting, type SettingsInput } from '../../src/ipvs/sysctl.js'

const rows = Object.entries(ipvsSettings) as [string, Setting][]

void t.test('keys are the kernel’s names, with a unit where there is one', async (t) => {
  for (const [key, { name }] of rows) {
    const camel = name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase())
    t.match(key, new RegExp(`^${camel}(Seconds|Pages|Bytes)?$`), name)
  }
  t.equal(new Set(rows.map(([, { name }]) => name)).size, rows.length, 'no name twice')
})

void t.test('what a namespace starts with is a value that may be set, and survives its text', async (t) => {
  for (const [key, { type, initially }] of rows) {
    if (initially === undefined) continue
    t.ok(type.accepts(initially), key)
    t.strictSame(type.read(type.write(initially)), initially, key)
  }
})

void t.test('any value that is accepted survives its text', async (t) => {
  const values = fc.oneof(
    fc.boolean(),
    fc.integer({ min: -2000, max: 2000 }),
    fc.integer(),
    fc.stringMatching(/^[\dN,:/-]{0,10}$/),
    fc
      .tuple(fc.integer({ min: -2, max: 60 }), fc.integer({ min: -2, max: 60 }))
      .map(([threshold, period]) => ({
        threshold,
        period,
      })),
  )
  let accepted = 0
  fc.assert(
    fc.property(fc.constantFrom(...rows), values, ([, { type }], value) => {
      if (!type.accepts(value)) return
      accepted++
      t.strictSame(type.read(type.write(value)), value)
    }),
    { numRuns: 5000 },
  )
  t.ok(accepted > 500, `${accepted} accepted`)
})

void t.test('text of the kernel is read', async (t) => {
  t.equal(ipvsSettings.conntrack.type.read('1'), true)
  t.equal(ipvsSettings.conntrack.type.read('2'), true, 'every number but 0 is on')
  t.equal(ipvsSettings.conntrack.type.read('on'), undefined)
  t.equal(ipvsSettings.estNice.type.read('-5'), -5)
  t.equal(ipvsSettings.estCpulist.type.read('0-3,8'), '0-3,8')
  t.strictSame(ipvsSettings.syncThreshold.type.read('3\t50'), { threshold: 3, period: 50 })
  t.equal(ipvsSettings.syncThreshold.type.read('3'), undefined)
})

void t.test('what cannot be meant is refused before anything is opened', async (t) => {
  const bad: [SettingsInput, string][] = [
    [{ dropEntry: 4 }, 'settings.dropEntry'],
    [{ syncPorts: 3 }, 'settings.syncPorts'],
    [{ conntrack: 1 as unknown as boolean }, 'settings.conntrack'],
    [{ estNice: -21 }, 'settings.estNice'],
    [{ estCpulist: '0\n1' }, 'settings.estCpulist'],
    [{ syncThreshold: { threshold: 5, period: 5 } }, 'settings.syncThreshold'],
    [{ syncThreshold: null as never }, 'settings.syncThreshold'],
    [{ syncRefreshPeriodSeconds: 1.5 }, 'settings.syncRefreshPeriodSeconds'],
    [{ expire_nodest_conn: true } as SettingsInput, 'settings.expire_nodest_conn'],
    [{ toString: true } as unknown as SettingsInput, 'settings.toString'],
    [{ unknown: { '../../ip_forward': '1' } }, 'settings.unknown'],
    [{ unknown: { new_one: '1\n2' } }, 'settings.unknown.new_one'],
  ]
  // A namespace that does not exist: opening it would be another error.
  const nowhere = new IpvsSettings({ path: '/nonexistent' })
  for (const [values, path] of bad) {
    await t.rejects(nowhere.set({ conntrack: true, ...values }), { name: 'ValidationError', path }, path)
  }
  const good: SettingsInput = { syncThreshold: { threshold: 50, period: 0 }, conntrack: undefined }
  const error: unknown = await nowhere.set(good).catch((error: unknown) => error)
  t.match(error, { name: 'KernelError', code: 'ENOENT', operation: 'netns.open' }, 'good ones are tried')
})

void t.test('without IPVS in the kernel an error says so', async (t) => {
  const error: unknown = await new IpvsSettings().read().then(
    (values) => values,
    (error: unknown) => error,
  )
  // This machine's kernel may have IPVS.
  if (error instanceof Error) t.ok(isUnsupportedError(error), String(error))
  else t.hasProps(error as object, ['conntrack', 'unknown'])
})
