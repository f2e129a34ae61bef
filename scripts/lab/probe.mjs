/**
 * Finds out which features of test/lab/features.json the running kernel has, by trying each with Debian's tools
 * in throwaway network namespaces.
 *
 *   node scripts/lab/probe.mjs            prints what is there; in the lab, compares it with the table's column
 *
 * It runs in a guest: `npm run lab -- --kernel 6.1 node scripts/lab/probe.mjs`. On the host it needs root.
 */
import { execFile } from 'node:child_process'
import { realpathSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { loadFeatures } from './features.mjs'

const run = promisify(execFile)

/** Debian packages whose programs the probes call; to be installed on the host before a guest is booted. */
export const probePackages = ['ipvsadm', 'iproute2', 'kmod', 'nftables', 'util-linux']

const service = 'ipvsadm -A -t 192.0.2.$n:80 -s rr'
/** @param {string} name */
const scheduler = (name) => `ipvsadm -A -t 192.0.2.$n:80 -s ${name}`
/** @param {string} options */
const tunnel = (options) => `${service}; ipvsadm -a -t 192.0.2.$n:80 -r 198.51.100.1:80 -i ${options}`
/** @param {string} kind @param {string} [options] */
const link = (kind, options = '') => `ip link add probe$n type ${kind} ${options}`
/** @param {string} name */
const setting = (name) => `ipvsadm -Ln; ls /proc/sys/net/ipv4/vs/${name}`

/**
 * Debian's nft is older than much of this, and the kernel's own description of its types (BTF) names what it knows.
 *
 * @param {string} module @param {string} constant
 */
const knows = (module, constant) =>
  `modprobe ${module}; grep -qsaF ${constant} /sys/kernel/btf/${module} /sys/kernel/btf/vmlinux`
/** @param {string} family @param {readonly string[]} commands  Each after the table's family and name. */
const nft = (family, ...commands) =>
  [
    `nft add table ${family} p$n`,
    ...commands.map((words) => `nft '${words.replaceAll('@', `${family} p'$n'`)}'`),
  ].join('; ')

/**
 * A shell script for each feature; the kernel has it when the script's every command succeeds. `$n` is a number
 * that no other probe in the same network namespace has.
 *
 * @type {Readonly<Record<string, string>>}
 */
export const probes = {
  ipvs: 'ipvsadm -Ln',
  'ipvs-ipv6': 'ipvsadm -A -t [2001:db8::1]:80 -s rr',
  'ipvs-firewall-mark': 'ipvsadm -A -f 1 -s rr; ipvsadm -A -f 1 -6 -s rr',
  'ipvs-udp': 'ipvsadm -A -u 192.0.2.$n:53 -s rr -o',
  'ipvs-sctp': 'ipvsadm -A --sctp-service 192.0.2.$n:80 -s rr',
  'ipvs-persistence-engine-sip': 'ipvsadm -A -u 192.0.2.$n:5060 -s rr -p 60 --pe sip',
  'ipvs-mixed-families':
    `${service}; ip address add 2001:db8::1/128 dev lo; ` +
    // The sync daemons refuse to start as long as there is such a destination.
    'ipvsadm -a -t 192.0.2.$n:80 -r [2001:db8::2]:80 -i; ipvsadm -D -t 192.0.2.$n:80',
  'ipvs-conntrack': setting('conntrack'),
  'ipvs-sync-daemon':
    'ip link add sync0 type veth peer name sync1; ip link set sync0 up; ip link set sync1 up; ' +
    'ip address add 192.0.2.99/24 dev sync0; ' +
    'ipvsadm --start-daemon master --mcast-interface sync0 --syncid 7; ipvsadm -L --daemon | grep sync0; ' +
    'ipvsadm --stop-daemon master',
  'ipvs-connection-list': 'ipvsadm -Ln; cat /proc/net/ip_vs_conn',
  'ipvs-status-file': 'ipvsadm -Ln; cat /proc/net/ip_vs_status',
  'setting-conn_lfactor': setting('conn_lfactor'),
  'setting-svc_lfactor': setting('svc_lfactor'),
  'setting-conn_max': setting('conn_max'),
  'setting-est_cpulist': setting('est_cpulist'),
  'setting-est_nice': setting('est_nice'),
  'setting-run_estimation': setting('run_estimation'),
  'setting-expire_quiescent_template': setting('expire_quiescent_template'),
  ...Object.fromEntries(
    ['rr', 'wrr', 'lc', 'wlc', 'lblc', 'lblcr', 'dh', 'sh', 'mh', 'sed', 'nq', 'fo', 'ovf', 'twos'].map(
      (name) => [`scheduler-${name}`, scheduler(name)],
    ),
  ),
  'tunnel-ipip': `${link('ipip', 'local 192.0.2.9 remote 192.0.2.8')}; ${tunnel('--tun-type ipip')}`,
  'tunnel-gue': `modprobe fou; ip fou add port 6080 gue; ${tunnel('--tun-type gue --tun-port 6080 --tun-nocsum')}`,
  'tunnel-gre': `${link('gre', 'local 192.0.2.9 remote 192.0.2.8')}; ${tunnel('--tun-type gre')}`,
  'link-veth': link('veth', 'peer name peer$n'),
  'link-bridge': link('bridge'),
  'link-dummy': link('dummy'),
  'link-sit': link('sit', 'local 192.0.2.9 remote 192.0.2.8'),
  'link-ip6tnl': link('ip6tnl', 'local 2001:db8::1 remote 2001:db8::2'),
  'link-ip6gre': link('ip6gre', 'local 2001:db8::1 remote 2001:db8::2'),
  'fou-ipv6': 'modprobe fou6; ip fou add port 6081 gue -6',
  'sctp-sockets': 'modprobe sctp; test -d /proc/sys/net/sctp',
  'nftables-mark':
    "nft 'add table inet probe'; nft 'add chain inet probe marking { type filter hook prerouting priority mangle; }'; " +
    "nft 'add rule inet probe marking tcp dport 80 meta mark set 1'",
  'nftables-nat':
    "nft 'add table ip probe'; nft 'add chain ip probe nat { type nat hook postrouting priority srcnat; }'; " +
    "nft 'add rule ip probe nat masquerade'",
  nftables: nft('inet', 'add chain @ c', 'add rule @ c counter'),
  'nftables-xtables': `${nft('inet')}; modprobe -a nft_compat xt_mark`,
  'nftables-egress': nft('netdev', 'add chain @ c { type filter hook egress device lo priority 0; }'),
  'nftables-flowtable': nft('inet', 'add flowtable @ f { hook ingress priority 0; devices = { lo }; }'),
  'nftables-inner': knows('nf_tables', 'NFT_INNER_VXLAN'),
  'nftables-reset-rules': knows('nf_tables', 'NFT_MSG_GETRULE_RESET'),
  'nftables-destroy': knows('nf_tables', 'NFT_MSG_DESTROYTABLE'),
  'nftables-meta-broute': knows('nft_meta_bridge', 'NFT_META_BRI_BROUTE'),
  'nftables-reset-elements': knows('nf_tables', 'NFT_MSG_GETSETELEM_RESET'),
  'nftables-table-persist': knows('nf_tables', 'NFT_TABLE_F_PERSIST'),
  'nftables-element-timeout':
    nft(
      'inet',
      'add set @ s { type mark; flags timeout; }',
      'add element @ s { 1 timeout 1m }',
      'add element @ s { 1 timeout 2h }',
    ) + '; nft list set inet p$n s | grep -w 2h',
  'nftables-bitwise-registers': knows('nf_tables', 'NFTA_BITWISE_SREG2'),
  'nftables-set-backend': knows('nf_tables', 'NFTA_SET_COUNT'),
  'nftables-trace-conntrack': knows('nf_tables', 'NFTA_TRACE_CT_ID'),
  'nftables-device-prefix': knows('nf_tables', 'NFTA_DEVICE_PREFIX'),
  'nftables-meta-ibrhwaddr': knows('nft_meta_bridge', 'NFT_META_BRI_IIFHWADDR'),
  conntrack: 'modprobe nf_conntrack_netlink',
  'conntrack-event-time': knows('nf_conntrack_netlink', 'CTA_TIMESTAMP_EVENT'),
  sockdiag: 'modprobe -a tcp_diag udp_diag',
  'two-processors': 'test "$(nproc)" -ge 2',
}

/**
 * The features that the running kernel has.
 *
 * @param {readonly string[]} [names] all of them unless given
 * @returns {Promise<{ has: Set<string>, reasons: Map<string, string> }>} `reasons` tells for the others what
 *   their probe said
 */
export async function probeFeatures(names = Object.keys(probes)) {
  const has = new Set()
  const reasons = new Map()
  // Making and removing a namespace is what takes time in an emulated kernel: one for each processor.
  const shares = availableParallelism()
  await Promise.all(
    Array.from({ length: shares }, async (_, share) => {
      const own = names.filter((_, index) => index % shares === share)
      const args = ['--net', '--', 'sh', '-c', sharedScript(own)]
      const { stdout } = await run('unshare', args, { timeout: 180_000 })
      const words = stdout.split('\0')
      for (const [index, name] of own.entries()) {
        const [status, said = ''] = words.slice(index * 2, index * 2 + 2)
        if (status === '0') has.add(name)
        else reasons.set(name, said.trim().replace(/\s*\n\s*/g, ' | ') || 'its probe failed without a word')
      }
    }),
  )
  return { has, reasons }
}

/**
 * One shell script of several probes; it prints status and messages of each, ended by NULs.
 *
 * @param {readonly string[]} names
 */
function sharedScript(names) {
  const parts = names.map((name, index) => {
    const script = probes[name]
    if (script === undefined) throw new Error(`no probe for the feature ${name}`)
    return `n=${index + 1}; said=$( (set -e; ${script}) 2>&1 >/dev/null ); printf '%s\\0%s\\0' $? "$said"`
  })
  return ['PATH=$PATH:/usr/sbin:/sbin', 'ip link set lo up', ...parts].join('\n')
}

/**
 * Where a column of the table and the running kernel disagree.
 *
 * @param {import('./features.mjs').Features} table
 * @param {string} kernel
 * @param {Awaited<ReturnType<typeof probeFeatures>>} found
 * @returns {string[]}
 */
export function disagreements(table, kernel, { has, reasons }) {
  return Object.entries(table.features).flatMap(([name, { on }]) => {
    const lacks = on[kernel] === 'lacks'
    if (lacks && has.has(name)) return [`${name}: the table says that ${kernel} lacks it, but it is there`]
    if (!lacks && !has.has(name)) return [`${name}: missing on ${kernel} (${reasons.get(name)})`]
    return []
  })
}

async function main() {
  const found = await probeFeatures()
  for (const name of Object.keys(probes)) {
    console.log(found.has.has(name) ? `has    ${name}` : `lacks  ${name}: ${found.reasons.get(name)}`)
  }
  const kernel = process.env['VIADUCT_LAB']
  if (kernel === undefined) return 0
  const wrong = disagreements(loadFeatures(), kernel, found)
  for (const line of wrong) console.log(line)
  console.log(
    wrong.length === 0 ? `test/lab/features.json is right about ${kernel}` : `${wrong.length} wrong`,
  )
  return wrong.length === 0 ? 0 : 1
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  process.exitCode = await main()
}
