import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { doctor, formatDiagnosis } from '../../src/cli/doctor.js'
import { KernelError, UnsupportedError } from '../../src/errors/index.js'
import { diagnose } from '../../src/ipvs/diagnose.js'
import { type Diagnosis, type Facts, type Finding, judge } from '../../src/ipvs/diagnosis.js'
import { moduleState, type ModuleFacts, readModuleFacts } from '../../src/ipvs/modules.js'
import { ipvsSettings, type SettingValues } from '../../src/ipvs/settings.js'

const everything = (1n << 41n) - 1n
const without = (...bits: bigint[]): bigint => bits.reduce((all, bit) => all & ~(1n << bit), everything)

const schedulerNames = [
  'rr',
  'wrr',
  'lc',
  'wlc',
  'lblc',
  'lblcr',
  'dh',
  'sh',
  'sed',
  'nq',
  'fo',
  'ovf',
  'mh',
  'twos',
]
const ourModules = ['ip_vs', ...schedulerNames.map((name) => `ip_vs_${name}`), 'nf_conntrack']

const modules: ModuleFacts = {
  loaded: new Set(ourModules),
  present: new Set(),
  builtIn: new Set(),
  files: new Set(ourModules),
  config: undefined,
  locked: false,
  autoload: true,
}

const initially = Object.fromEntries(
  Object.entries(ipvsSettings).map(([key, { initially }]) => [key, initially]),
)

/** A machine on which everything is as IPVS likes it. */
const good: Facts = {
  platform: 'linux',
  architecture: 'x64',
  release: '6.12.1-amd64',
  elsewhere: undefined,
  answer: { version: '1.2.1' },
  capabilities: everything,
  initialUserNamespace: true,
  modules,
  loopbackUp: true,
  sysctl: {
    'net.ipv4.ip_forward': '1',
    'net.ipv6.conf.all.forwarding': '1',
    'net.ipv4.conf.all.rp_filter': '0',
    'net.ipv4.conf.default.rp_filter': '2',
    'net.ipv6.conf.all.disable_ipv6': '0',
  },
  sysctlWritable: true,
  settings: {
    ...initially,
    conntrack: true,
    expireNodestConn: true,
    expireQuiescentTemplate: true,
    unknown: {},
  } as unknown as SettingValues,
}

const found = (facts: Partial<Facts>): Diagnosis => judge({ ...good, ...facts })

/** What is said that is not said of the good machine; each must say what to do, or what it means. */
function worse(facts: Partial<Facts>): Finding[] {
  return found(facts).findings.filter(({ level }) => level !== 'ok')
}

const noFamily = new KernelError({ errno: -2, operation: 'genetlink.getFamily', object: { name: 'IPVS' } })
const refused = new KernelError({ errno: -1, operation: 'ipvs.info' })

void t.test('a machine that has everything is ready, and nothing else is said', async (t) => {
  const diagnosis = found({})
  t.ok(diagnosis.ready)
  t.equal(diagnosis.kernelRelease, '6.12.1-amd64')
  t.strictSame([...new Set(diagnosis.findings.map(({ level }) => level))], ['ok'])
  t.equal(diagnosis.modules['ip_vs_mh'], 'loaded')
  const ids = diagnosis.findings.map(({ id }) => id)
  t.equal(new Set(ids).size, ids.length, 'each id once')
})

void t.test('each thing that is missing is told with what to do', async (t) => {
  const cases: [string, Partial<Facts>, readonly [id: string, level: Finding['level'], says: RegExp][]][] = [
    ['another system', { platform: 'darwin' }, [['kernel', 'problem', /Linux/]]],
    [
      'no addon',
      { answer: { error: new UnsupportedError('the addon for linux-arm64-musl', 'to be built') } },
      [['addon', 'problem', /to be built/]],
    ],
    [
      'no IPVS in a modular kernel',
      { answer: { error: noFamily }, modules: { ...modules, loaded: new Set(), files: new Set(['tun']) } },
      [
        ['ipvs', 'problem', /could not be loaded/],
        ['module.ip_vs', 'problem', /CONFIG_IP_VS=m.*linux-modules-extra-6\.12\.1-amd64/],
      ],
    ],
    [
      'a container that cannot see modules, and a host that has none loaded',
      {
        answer: { error: noFamily },
        modules: { ...modules, loaded: new Set(), files: undefined, builtIn: undefined },
      },
      [
        ['ipvs', 'problem', /could not be loaded/],
        ['module.ip_vs', 'problem', /`modprobe ip_vs` on the host/],
      ],
    ],
    [
      'locked modules',
      { answer: { error: noFamily }, modules: { ...modules, loaded: new Set(), locked: true } },
      [
        ['ipvs', 'problem', /could not be loaded/],
        ['module.ip_vs', 'problem', /modules_disabled.*modules-load\.d/],
        ...ourModules
          .filter((name) => name !== 'ip_vs')
          .map((name): [string, 'note', RegExp] => [`module.${name}`, 'note', /modules_disabled/]),
      ],
    ],
    [
      'no CAP_NET_ADMIN',
      { answer: { error: refused }, capabilities: without(12n) },
      [
        ['ipvs', 'problem', /refuses/],
        ['capability.net_admin', 'problem', /--cap-add NET_ADMIN/],
      ],
    ],
    [
      'EPERM for a reason that is not seen',
      { answer: { error: refused } },
      [['ipvs', 'problem', /initial user namespace/]],
    ],
    [
      'a user namespace',
      { answer: { error: refused }, initialUserNamespace: false },
      [
        ['ipvs', 'problem', /refuses/],
        ['user-namespace', 'problem', /Rootless/],
      ],
    ],
    ['no CAP_SYS_ADMIN', { capabilities: without(21n) }, [['capability.sys_admin', 'note', /SYS_ADMIN/]]],
    [
      'no CAP_SYS_ADMIN for another namespace',
      { capabilities: without(21n), elsewhere: 'ip netns exec blue ' },
      [['capability.sys_admin', 'problem', /SYS_ADMIN/]],
    ],
    ['no CAP_SYS_MODULE where all is loaded', { capabilities: without(16n) }, []],
    ['lo down', { loopbackUp: false }, [['loopback', 'problem', /`ip link set lo up`/]]],
    [
      'lo down in another namespace',
      { loopbackUp: false, elsewhere: 'ip netns exec blue ' },
      [['loopback', 'problem', /`ip netns exec blue ip link set lo up`/]],
    ],
    [
      'no forwarding',
      {
        sysctl: { ...good.sysctl, 'net.ipv4.ip_forward': '0', 'net.ipv6.conf.all.forwarding': '0' },
      },
      [
        ['sysctl.net.ipv4.ip_forward', 'note', /sysctl --write net\.ipv4\.ip_forward=1/],
        ['sysctl.net.ipv6.conf.all.forwarding', 'note', /sysctl --write net\.ipv6\.conf\.all\.forwarding=1/],
      ],
    ],
    [
      'no IPv6, and its forwarding not minded',
      {
        sysctl: {
          ...good.sysctl,
          'net.ipv6.conf.all.disable_ipv6': '1',
          'net.ipv6.conf.all.forwarding': '0',
        },
      },
      [['ipv6', 'note', /disable_ipv6=0/]],
    ],
    [
      'strict reverse path filters',
      {
        sysctl: {
          ...good.sysctl,
          'net.ipv4.conf.all.rp_filter': '1',
          'net.ipv4.conf.default.rp_filter': '1',
        },
      },
      [['sysctl.rp_filter', 'note', /all\.rp_filter=2 net\.ipv4\.conf\.default\.rp_filter=2/]],
    ],
    [
      'settings as a namespace starts with them',
      {
        settings: {
          ...good.settings!,
          conntrack: false,
          expireNodestConn: false,
          expireQuiescentTemplate: false,
        },
      },
      [
        ['sysctl.net.ipv4.vs.conntrack', 'note', /conntrack=1/],
        ['sysctl.net.ipv4.vs.expire_nodest_conn', 'note', /expire_nodest_conn=1/],
        ['sysctl.net.ipv4.vs.expire_quiescent_template', 'note', /expire_quiescent_template=1/],
      ],
    ],
    [
      'the second that old kernels make clients wait',
      { release: '5.4.0', modules: { ...modules } },
      [['sysctl.net.ipv4.vs.conn_reuse_mode', 'note', /conn_reuse_mode=0/]],
    ],
    [
      'no estimation',
      { settings: { ...good.settings!, runEstimation: false } },
      [['sysctl.net.ipv4.vs.run_estimation', 'note', /run_estimation=1/]],
    ],
    ['read-only settings', { sysctlWritable: false }, [['sysctl.read-only', 'note', /--sysctl/]]],
    [
      'a scheduler that this kernel lacks',
      {
        modules: {
          ...modules,
          loaded: new Set(['ip_vs', 'nf_conntrack']),
          files: new Set(ourModules.filter((name) => name !== 'ip_vs_twos')),
        },
      },
      [['module.ip_vs_twos', 'note', /scheduler twos.*ENOENT.*CONFIG_IP_VS_TWOS/]],
    ],
    [
      'a kernel without connection tracking',
      {
        modules: {
          ...modules,
          loaded: new Set(ourModules.filter((name) => name !== 'nf_conntrack')),
          files: new Set(ourModules.filter((name) => name !== 'nf_conntrack')),
        },
      },
      [['module.nf_conntrack', 'note', /tracked.*CONFIG_NF_CONNTRACK/]],
    ],
    [
      'a kernel that loads nothing by itself',
      { answer: undefined, modules: { ...modules, loaded: new Set(), autoload: false } },
      ourModules.map((name): [string, 'problem' | 'note', RegExp] => [
        `module.${name}`,
        name === 'ip_vs' ? 'problem' : 'note',
        new RegExp(`file is here.*kernel\\.modprobe is empty.*\`modprobe ${name}\``),
      ]),
    ],
  ]
  for (const [what, facts, expected] of cases) {
    const findings = worse(facts)
    t.strictSame(
      findings.map(({ id, level }) => [id, level]),
      expected.map(([id, level]) => [id, level]),
      what,
    )
    for (const [index, [id, , says]] of expected.entries()) {
      const { title, meaning, remedy } = findings[index] ?? { title: '' }
      t.match([title, meaning, remedy].join(' '), says, `${what}: ${id}`)
    }
    t.equal(
      found(facts).ready,
      expected.every(([, level]) => level !== 'problem'),
      `${what}: ready`,
    )
  }
})

void t.test('before Linux 4.19 connection tracking is nf_conntrack_ipv4', async (t) => {
  t.hasProp(found({ release: '4.18.0-553.el8' }).modules, 'nf_conntrack_ipv4')
  t.notHas(found({ release: '4.18.0-553.el8' }).modules, 'nf_conntrack')
  t.hasProp(found({ release: '4.19.0' }).modules, 'nf_conntrack')
})

void t.test('what answers is there, whatever files say', async (t) => {
  const blind: ModuleFacts = {
    ...modules,
    loaded: undefined,
    present: undefined,
    builtIn: undefined,
    files: undefined,
  }
  t.equal(found({ modules: blind }).modules['ip_vs'], 'built-in')
  t.equal(found({ modules: blind, answer: { error: refused } }).modules['ip_vs'], 'built-in')
  t.equal(found({ modules: blind, answer: { error: noFamily } }).modules['ip_vs'], 'unknown')
  t.equal(found({ modules: blind, answer: undefined }).modules['ip_vs'], 'unknown')
})

void t.test('not asked, a module that would be loaded is no problem', async (t) => {
  const idle = { ...modules, loaded: new Set<string>() }
  t.ok(found({ answer: undefined, modules: idle }).ready)
  t.match(
    found({ answer: undefined, modules: idle }).findings.find(({ id }) => id === 'module.ip_vs'),
    { level: 'note', meaning: /first use/ },
  )
  t.notOk(found({ answer: undefined, modules: { ...idle, files: new Set() } }).ready)
})

void t.test('modules: each state from the files that tell it', async (t) => {
  const root = join(t.testdir({}), 'root')
  const release = '6.1.0-test'
  const write = (path: string, content: string | Uint8Array): void => {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), content)
  }
  const state = (name: string): string =>
    moduleState(name, `CONFIG_${name.toUpperCase()}`, readModuleFacts(release, root))

  t.equal(state('ip_vs'), 'unknown', 'no file at all')
  write(
    'proc/modules',
    'ip_vs 204800 2 ip_vs_rr,ip_vs_wlc, Live 0x0000000000000000\nip_vs_rr 16384 0 - Live 0x0\n',
  )
  t.equal(state('ip_vs'), 'loaded')
  t.equal(state('ip_vs_mh'), 'host', 'no modules folder in sight')
  write(
    `lib/modules/${release}/modules.builtin`,
    'kernel/net/netfilter/ipvs/ip_vs_sh.ko\nkernel/fs/ext4/ext4.ko\n',
  )
  write(
    `lib/modules/${release}/modules.dep`,
    'kernel/net/netfilter/ipvs/ip_vs_mh.ko.xz: kernel/net/netfilter/ipvs/ip_vs.ko.xz\nkernel/net/netfilter/ipvs/ip-vs-dh.ko:\n',
  )
  t.equal(state('ip_vs_sh'), 'built-in')
  t.equal(state('ip_vs_mh'), 'loadable')
  t.ok(readModuleFacts(release, root).autoload, 'what is not in sight is taken to be as usual')
  write('proc/sys/kernel/modprobe', '\n')
  t.notOk(readModuleFacts(release, root).autoload)
  write('proc/sys/kernel/modprobe', '/sbin/modprobe\n')
  t.ok(readModuleFacts(release, root).autoload)
  t.equal(state('ip_vs_dh'), 'loadable', 'a dash for an underscore')
  t.equal(state('ip_vs_twos'), 'absent')
  write('proc/sys/kernel/modules_disabled', '1\n')
  t.equal(state('ip_vs_mh'), 'locked')
  t.equal(state('ip_vs'), 'loaded')
  mkdirSync(join(root, 'sys/module/ip_vs_nq'), { recursive: true })
  t.equal(state('ip_vs_nq'), 'built-in', 'in /sys/module and not loaded')
  write('proc/config.gz', gzipSync('CONFIG_IP_VS_FO=y\nCONFIG_IP_VS_MH=m\n# CONFIG_IP_VS_OVF is not set\n'))
  t.equal(state('ip_vs_fo'), 'built-in')
  t.equal(state('ip_vs_ovf'), 'absent')
  write('proc/config.gz', 'no gzip')
  write(`boot/config-${release}`, 'CONFIG_IP_VS_OVF=y\n')
  t.equal(state('ip_vs_ovf'), 'built-in', 'from /boot')
  rmSync(join(root, 'proc/modules'))
  t.equal(state('ip_vs_mh'), 'absent', 'a kernel without modules, configured without it')
})

void t.test('it can be called anywhere, by anybody', async (t) => {
  const here = await diagnose()
  t.ok(here.findings.length > 3)
  t.equal(here.ready, !here.findings.some(({ level }) => level === 'problem'))
  const nowhere = await diagnose({ netns: { path: '/nonexistent' } })
  t.notOk(nowhere.ready)
  t.match(
    nowhere.findings.map(({ title }) => title),
    [/./, /netns\.open/],
  )
  await t.rejects(diagnose({ signal: AbortSignal.abort(new Error('enough')) }), { message: 'enough' })
})

void t.test('doctor prints it for people, and as JSON', async (t) => {
  const printed = { text: '', errors: '' }
  const output = { write: (text: string) => void (printed.text += text) }
  const errors = { write: (text: string) => void (printed.errors += text) }
  const status = await doctor(['--no-load'], output, errors)
  t.match(printed.text, /^ok {7}linux /)
  t.match(printed.text, status === 0 ? /can be used/ : /cannot be used from here: \d+ problems? above/)
  printed.text = ''
  t.equal(await doctor(['--json', '--no-load'], output, errors), status)
  const diagnosis = JSON.parse(printed.text) as Diagnosis
  t.equal(diagnosis.ready, status === 0)
  t.equal(printed.errors, '')
  t.equal(await doctor(['--netns', '/nonexistent'], output, errors), 1)
  printed.text = ''
  t.equal(await doctor(['--help'], output, errors), 0)
  t.match(printed.text, /^Usage: viaduct doctor/)
  t.equal(await doctor(['--nonsense'], output, errors), 2)
  t.match(printed.errors, /nonsense.*\nUsage/s)
})

void t.test(
  'the text fits its columns, has no colour unless asked, and says much on few lines',
  async (t) => {
    const bad = found({
      answer: { error: noFamily },
      capabilities: 0n,
      loopbackUp: false,
      modules: { ...modules, loaded: new Set(), files: undefined },
    })
    const text = formatDiagnosis(bad, { columns: 72, colour: false })
    for (const line of text.split('\n')) t.ok(line.length <= 72 || !line.trim().includes(' '), line)
    t.notOk(text.includes('\x1b'))
    t.match(text, /ip_vs_rr, ip_vs_wrr, .*not loaded/s)
    t.equal(text.match(/ip_vs_rr/g)?.length, 1)
    t.match(text, /4 problems above/)
    t.ok(formatDiagnosis(bad, { columns: 72, colour: true }).includes('\x1b[31mproblem'))
    t.match(formatDiagnosis(found({}), { columns: 72, colour: false }), /IPVS can be used from here\.\n$/)
  },
)
