/**
 * Rules as nft writes them, from a table of what it can match and what it can do: each match in every form that its kind
 * has, each statement where it may stand, and both together. A line is one command, so that what a kernel or an nft
 * refuses can be left out by itself.
 */

type Family = 'ip' | 'ip6' | 'inet' | 'arp' | 'bridge' | 'netdev'

/** How a match can be written: what its values are. */
type Form = 'number' | 'order' | 'address' | 'name' | 'bits' | 'exists' | 'one'
interface Field {
  /** `tcp dport`. */
  readonly text: string
  readonly form: Form
  /** In ascending order. */
  readonly values: readonly string[]
  /** Where it may stand; `in` unless said. */
  readonly chain?: string
}

const field = (form: Form, text: string, values: string, chain?: string): Field => ({
  text,
  form,
  values: values.split(' '),
  ...(chain === undefined ? {} : { chain }),
})
const number = (text: string, values = '3 20 60', chain?: string): Field =>
  field('number', text, values, chain)
/** A number that can be compared with constants alone: masks of it cannot be written. */
const order = (text: string, values: string, chain?: string): Field => field('order', text, values, chain)
const address = (text: string, values: string, chain?: string): Field => field('address', text, values, chain)
const name = (text: string, values: string, chain?: string): Field => field('name', text, values, chain)
const bits = (text: string, values: string, chain?: string): Field => field('bits', text, values, chain)
const exists = (text: string, chain?: string): Field => field('exists', text, '', chain)
const one = (text: string, chain?: string): Field => field('one', text, '', chain)
const numbers = (protocol: string, keys: string, values?: string): Field[] =>
  keys.split(' ').map((key) => number(`${protocol} ${key}`, values))

const four = '10.0.0.1 10.0.0.9 10.0.3.1'
const six = '2001:db8::1 2001:db8::9 2001:db8::77'
const mac = '02:00:00:00:00:01 02:00:00:00:00:07 02:00:00:00:00:0f'
const port = '22 80 443'

const fields = {
  ether: [address('ether saddr', mac), address('ether daddr', mac), name('ether type', 'arp ip vlan')],
  vlan: [
    number('vlan id', '1 20 300'),
    number('vlan pcp', '1 2 5'),
    number('vlan dei', '0 1'),
    name('vlan type', 'ip arp'),
  ],
  arp: [
    number('arp htype', '1 2 3'),
    name('arp ptype', 'ip ip6'),
    ...numbers('arp', 'hlen plen'),
    name('arp operation', 'request reply rrequest'),
    address('arp saddr ip', four),
    address('arp daddr ip', four),
    address('arp saddr ether', mac),
    address('arp daddr ether', mac),
  ],
  ip: [
    number('ip version', '4 5'),
    number('ip hdrlength', '5 6 9'),
    name('ip dscp', 'cs1 af41 ef'),
    name('ip ecn', 'ect0 ect1 ce'),
    ...numbers('ip', 'length id frag-off ttl checksum'),
    name('ip protocol', 'icmp tcp udp'),
    address('ip saddr', four),
    address('ip daddr', four),
  ],
  ip6: [
    number('ip6 version', '6 7'),
    name('ip6 dscp', 'cs1 af41 ef'),
    name('ip6 ecn', 'ect0 ect1 ce'),
    ...numbers('ip6', 'flowlabel length hoplimit'),
    name('ip6 nexthdr', 'tcp udp ipv6-icmp'),
    address('ip6 saddr', six),
    address('ip6 daddr', six),
  ],
  icmp: [
    name('icmp type', 'echo-reply destination-unreachable echo-request'),
    name('icmp code', 'net-unreachable host-unreachable frag-needed'),
    ...numbers('icmp', 'checksum id sequence mtu'),
    address('icmp gateway', '3 5 7'),
  ],
  igmp: [
    name('igmp type', 'membership-query membership-report-v1 leave-group'),
    ...numbers('igmp', 'mrt checksum'),
    number('igmp group'),
  ],
  icmpv6: [
    name('icmpv6 type', 'destination-unreachable echo-request nd-neighbor-solicit'),
    name('icmpv6 code', 'no-route admin-prohibited addr-unreachable'),
    ...numbers('icmpv6', 'checksum param-problem mtu id sequence max-delay'),
  ],
  tcp: [
    ...numbers('tcp', 'sport dport', port),
    ...numbers('tcp', 'sequence ackseq window checksum urgptr'),
    number('tcp reserved', '1 2 7'),
    number('tcp doff', '5 6 9'),
    bits('tcp flags', 'syn ack fin'),
  ],
  udp: [...numbers('udp', 'sport dport', port), ...numbers('udp', 'length checksum')],
  udplite: [...numbers('udplite', 'sport dport', port), number('udplite checksum')],
  sctp: [
    ...numbers('sctp', 'sport dport', port),
    ...numbers('sctp', 'vtag checksum'),
    ...[
      'data init init-ack sack heartbeat heartbeat-ack abort shutdown shutdown-ack error cookie-echo cookie-ack',
      'ecne cwr shutdown-complete asconf-ack forward-tsn asconf',
    ].flatMap((chunks) => chunks.split(' ').map((chunk) => exists(`sctp chunk ${chunk}`))),
    ...numbers('sctp chunk data', 'type flags length tsn stream ssn ppid'),
    ...numbers('sctp chunk init', 'init-tag a-rwnd num-outbound-streams num-inbound-streams initial-tsn'),
    ...numbers('sctp chunk sack', 'cum-tsn-ack a-rwnd num-gap-ack-blocks num-dup-tsns'),
    ...numbers('sctp chunk ecne', 'lowest-tsn'),
    ...numbers('sctp chunk forward-tsn', 'new-cum-tsn'),
    ...numbers('sctp chunk asconf', 'seqno'),
  ],
  dccp: [...numbers('dccp', 'sport dport', port), name('dccp type', 'request response data')],
  ah: numbers('ah', 'hdrlength reserved spi sequence'),
  esp: numbers('esp', 'spi sequence'),
  comp: [number('comp flags', '0x1 0x2 0x7'), number('comp cpi'), one('comp nexthdr != tcp')],
  th: numbers('th', 'sport dport', port),
  raw: [
    ...['ll,0,8', 'll,96,16', 'nh,0,8', 'nh,64,32', 'nh,4,4', 'th,0,16', 'th,16,16', 'th,32,64'].map((at) =>
      order(`@${at}`, '0x1 0x2 0x5'),
    ),
    order('@ih,0,32', '0x1 0x2 0x5'),
  ],
  exthdr: [
    ...['hbh', 'rt', 'frag', 'dst', 'mh'].map((header) => exists(`exthdr ${header}`)),
    number('hbh hdrlength'),
    name('hbh nexthdr', 'tcp udp'),
    number('dst hdrlength'),
    name('dst nexthdr', 'tcp udp'),
    name('frag nexthdr', 'tcp udp'),
    ...numbers('frag', 'reserved frag-off id'),
    number('frag reserved2', '0 1 2'),
    number('frag more-fragments', '0 1'),
    name('rt nexthdr', 'tcp udp'),
    ...numbers('rt', 'hdrlength type seg-left'),
    address('rt0 addr[1]', six),
    one('rt2 addr 2001:db8::1'),
    ...numbers('srh', 'last-entry flags tag'),
    address('srh sid[1]', six),
    name('mh nexthdr', 'tcp udp'),
    ...numbers('mh', 'hdrlength reserved checksum'),
    name('mh type', 'binding-refresh-request binding-update binding-error'),
  ],
  tcpOptions: [
    ...['eol', 'nop', 'maxseg', 'window', 'sack-perm', 'sack', 'timestamp', 'fastopen', 'md5sig'].map(
      (option) => exists(`tcp option ${option}`),
    ),
    exists('tcp option 42'),
    ...numbers('tcp option maxseg', 'length size'),
    ...numbers('tcp option window', 'length count'),
    number('tcp option sack-perm length'),
    ...numbers('tcp option sack', 'length left right'),
    ...numbers('tcp option sack1', 'left right'),
    ...numbers('tcp option sack3', 'left right'),
    ...numbers('tcp option timestamp', 'length tsval tsecr'),
    number('tcp option mptcp subtype', '0 1 2'),
    order('tcp option @255,8,8', '0x1 0x2 0x5'),
    ...['0x1', '!= 0x1', '0x1-0x5', '< 0x7'].map((value) => one(`tcp option @34,16,32 ${value}`)),
  ],
  ipOptions: [
    ...['lsrr', 'ra', 'rr', 'ssrr'].map((option) => exists(`ip option ${option}`)),
    ...numbers('ip option lsrr', 'type length ptr addr'),
    ...numbers('ip option ra', 'type length value'),
    ...numbers('ip option rr', 'type length ptr addr'),
    ...numbers('ip option ssrr', 'type length ptr addr'),
  ],
  meta: [
    number('meta length'),
    name('meta protocol', 'ip ip6 vlan'),
    name('meta l4proto', 'tcp udp sctp'),
    order('meta priority', '0:1 1:2 2:3'),
    number('meta mark', '0x1 0x20 0x300'),
    name('iif', 'lo'),
    name('iifname', '"lo" "eth0" "veth7"'),
    one('iifname "eth*"'),
    one('iifname { "eth*", "lo" }'),
    name('iiftype', 'ether ppp loopback'),
    number('meta skuid', '1 20 300', 'out'),
    number('meta skgid', '1 20 300', 'out'),
    number('meta rtclassid', '1 20 300'),
    name('meta pkttype', 'host broadcast multicast'),
    number('meta cpu'),
    order('meta iifgroup', '0 7 9'),
    number('meta cgroup', '1 20 300', 'out'),
    number('meta random', '1 20 300'),
    name('meta iifkind', '"veth" "dummy" "vrf"'),
    name('oif', 'lo', 'out'),
    name('oifname', '"lo" "eth0" "veth7"', 'out'),
    one('oifname "eth*"', 'out'),
    name('oiftype', 'ether ppp loopback', 'out'),
    order('meta oifgroup', '0 7 9', 'out'),
    name('meta oifkind', '"veth" "dummy" "vrf"', 'out'),
    order(
      'meta time',
      '"2030-01-01 00:00:00" "2031-01-01 00:00:00" "2032-01-01 00:00:00"'.replaceAll(' 0', 'T0'),
    ),
    name('meta day', '"Sunday" "Monday" "Friday"'),
    order('meta hour', '"08:00" "12:00" "17:30"'),
  ],
  routedMeta: [exists('meta ipsec'), name('meta sdif', '"lo"'), name('meta sdifname', '"lo" "eth0"')],
  bridgeMeta: [
    one('meta ibrname "br0"'),
    one('meta obrname "br0"', 'forwarded'),
    one('meta ibrpvid 7'),
    one('meta ibrvproto 8021q'),
  ],
  socket: [
    number('socket transparent', '0 1'),
    number('socket mark', '0x1 0x20 0x300'),
    number('socket wildcard', '0 1'),
    one('socket cgroupv2 level 1 ""'),
  ],
  osf: [
    name('osf name', '"Linux" "Windows" "MacOs"'),
    name('osf version', '"Linux:3.0" "Linux:4.20"'),
    name('osf ttl skip name', '"Linux" "Windows"'),
    name('osf ttl loose version', '"Linux:3.0" "Linux:4.20"'),
  ],
  fib: [
    ...['saddr', 'daddr', 'saddr . mark', 'saddr . iif', 'daddr . mark . iif'].flatMap((by) => [
      exists(`fib ${by} oif`),
      name(`fib ${by} oif`, '"lo"'),
      name(`fib ${by} oifname`, '"lo" "eth0"'),
      name(`fib ${by} type`, 'local unicast blackhole'),
    ]),
    name('fib daddr . oif type', 'local unicast blackhole', 'out'),
  ],
  rt: [
    number('rt classid', '1 20 300', 'out'),
    number('rt mtu', '500 1300 1400', 'forwarded'),
    exists('rt ipsec'),
  ],
  rt4: [address('rt nexthop', four, 'out'), address('rt ip nexthop', four, 'out')],
  rt6: [address('rt nexthop', six, 'out'), address('rt ip6 nexthop', six, 'out')],
  ipsec: [
    number('ipsec in reqid', '1 20 300'),
    number('ipsec in spi', '1 20 300'),
    number('ipsec in spnum 2 reqid', '1 20 300'),
    number('ipsec out reqid', '1 20 300', 'out'),
    number('ipsec out spnum 1 spi', '1 20 300', 'out'),
    address('ipsec in ip saddr', four),
    address('ipsec in ip daddr', four),
    address('ipsec in ip6 saddr', six),
    address('ipsec out ip6 daddr', six, 'out'),
  ],
  ct: [
    bits('ct state', 'new established related'),
    name('ct direction', 'original reply'),
    bits('ct status', 'expected assured snat'),
    number('ct mark', '0x1 0x20 0x300'),
    order('ct expiration', '10s 1m 2h'),
    name('ct helper', '"ftp" "sip"'),
    number('ct zone', '1 20 300'),
    number('ct original zone', '1 20 300'),
    number('ct reply zone', '1 20 300'),
    number('ct id', '1 20 300'),
    number('ct bytes', '1 20 300'),
    number('ct packets', '1 20 300'),
    number('ct avgpkt', '1 20 300'),
    number('ct original bytes', '1 20 300'),
    number('ct reply packets', '1 20 300'),
    number('ct reply avgpkt', '1 20 300'),
    name('ct original protocol', 'tcp udp'),
    name('ct reply l3proto', 'ipv4 ipv6'),
    number('meta l4proto tcp ct original proto-src', port),
    number('meta l4proto udp ct original proto-dst', port),
    number('meta l4proto tcp ct reply proto-dst', port),
    one('ct count 20'),
    one('ct count over 20'),
    one('ct label 1'),
  ],
  ct4: [
    address('ct original ip saddr', four),
    address('ct original ip daddr', four),
    address('ct reply ip saddr', four),
  ],
  ct6: [address('ct original ip6 saddr', six), address('ct reply ip6 daddr', six)],
  generators: [
    number('numgen inc mod 10', '1 3 7'),
    number('numgen random mod 100 offset 7', '10 20 40'),
    number('numgen inc mod 4 offset 100', '100 101 103'),
    number('symhash mod 10', '1 3 7'),
    number('symhash mod 10 offset 50', '51 53 57'),
  ],
  hash4: [
    number('jhash ip saddr mod 7', '1 3 5'),
    number('jhash ip saddr . tcp dport mod 7 seed 0xbeef', '1 3 5'),
    number('jhash ip saddr . ip daddr . th dport mod 16 seed 0x1 offset 100', '101 103 105'),
  ],
  hash6: [
    number('jhash ip6 saddr mod 7', '1 3 5'),
    number('jhash ip6 saddr . ip6 daddr mod 9 offset 3', '4 6 9'),
  ],
} as const satisfies Readonly<Record<string, readonly Field[]>>
type Group = keyof typeof fields

const transport: readonly Group[] = [
  'tcp',
  'udp',
  'udplite',
  'sctp',
  'dccp',
  'ah',
  'esp',
  'comp',
  'th',
  'tcpOptions',
]
const tracked: readonly Group[] = [
  'meta',
  'routedMeta',
  'socket',
  'fib',
  'rt',
  'ipsec',
  'ct',
  'generators',
  'raw',
]
const groupsOf: Readonly<Record<Family, readonly Group[]>> = {
  inet: [
    ...(['ether', 'vlan', 'ip', 'ip6', 'icmp', 'igmp', 'icmpv6', 'exthdr', 'ipOptions'] as const),
    ...transport,
    ...tracked,
    ...(['osf', 'ct4', 'ct6', 'hash4', 'hash6'] as const),
  ],
  ip: ['ip', 'icmp', 'igmp', 'ipOptions', ...transport, ...tracked, 'osf', 'rt4', 'ct4', 'hash4'],
  ip6: ['ip6', 'icmpv6', 'exthdr', ...transport, ...tracked, 'rt6', 'ct6', 'hash6'],
  arp: ['arp', 'meta', 'raw'],
  bridge: [
    ...(['ether', 'vlan', 'arp', 'ip', 'ip6', 'icmp', 'icmpv6'] as const),
    ...transport,
    'meta',
    'bridgeMeta',
    'raw',
  ],
  netdev: [
    ...(['ether', 'vlan', 'arp', 'ip', 'ip6', 'icmp', 'icmpv6'] as const),
    ...transport,
    'meta',
    'raw',
    'fib',
  ],
}
/** What goes together with any protocol. */
const free: readonly Group[] = ['ct', 'fib', 'rt', 'socket', 'generators', 'ipsec']

/** A match in every form that it has. */
function formsOf({ text, form, values }: Field): string[] {
  const [a, b = a, c = b] = values
  const same = [`${text} ${a}`, `${text} != ${a}`]
  const set = a === b ? [] : [`${text} { ${values.join(', ')} }`, `${text} != { ${a}, ${b} }`]
  const map = a === b ? [] : [`${text} vmap { ${a} : accept, ${b} : drop }`]
  const less = a === b ? [] : [`${text} < ${b}`, `${text} <= ${b}`, `${text} > ${a}`, `${text} >= ${a}`]
  const range = b === c ? [] : [`${text} ${a}-${b}`, `${text} != ${a}-${b}`, `${text} { ${a}-${b}, ${c} }`]
  switch (form) {
    case 'one':
      return [text]
    case 'exists':
      return [`${text} exists`, `${text} missing`]
    case 'name':
      return [...same, ...set, ...map]
    case 'bits':
      return [
        ...same,
        ...set,
        ...map,
        `${text} ${a},${b}`,
        `${text} & (${a} | ${b}) == ${a}`,
        `${text} & ${a} != ${a}`,
        `${text} ! ${a},${b}`,
      ]
    case 'address':
      return [...same, ...set, ...map, ...range, ...prefixes(text, a!), `${text} >= ${b}`]
    case 'order':
      return [...same, ...set, ...less, ...range]
    case 'number':
      return [...same, ...less, ...set, ...range, ...map, `${text} & ${a} == ${a}`, `${text} | ${a} != ${b}`]
  }
}

function prefixes(text: string, value: string): string[] {
  if (/^\d+\.\d+\.\d+\.\d+$/.test(value))
    return [`${text} 10.0.0.0/8`, `${text} != 10.1.2.0/23`, `${text} & 255.0.255.0 == 10.0.3.0`]
  if (value.startsWith('2001:'))
    return [`${text} 2001:db8::/32`, `${text} != 2001:db8::/61`, `${text} & ::ff == ::1`]
  return []
}

/** A base chain of each table, by the name that lines refer to. */
const routed = {
  raw: 'type filter hook prerouting priority raw',
  pre: 'type filter hook prerouting priority mangle',
  in: 'type filter hook input priority filter; policy accept',
  forwarded: 'type filter hook forward priority filter - 10; policy drop',
  out: 'type filter hook output priority 7',
  post: 'type filter hook postrouting priority mangle',
  route: 'type route hook output priority mangle',
  prenat: 'type nat hook prerouting priority dstnat',
  postnat: 'type nat hook postrouting priority srcnat',
  natin: 'type nat hook input priority 100',
}
const chains: Readonly<Record<Family, Readonly<Record<string, string>>>> = {
  ip: routed,
  ip6: routed,
  inet: { ...routed, ingress: 'type filter hook ingress device "lo" priority 0' },
  arp: { in: 'type filter hook input priority filter', out: 'type filter hook output priority filter' },
  bridge: {
    pre: 'type filter hook prerouting priority dstnat',
    in: 'type filter hook input priority filter',
    forwarded: 'type filter hook forward priority filter',
    out: 'type filter hook output priority out',
    post: 'type filter hook postrouting priority srcnat',
  },
  netdev: {
    in: 'type filter hook ingress devices = { "lo" } priority 0; policy accept',
    out: 'type filter hook egress device "lo" priority 3',
  },
}

const levels = ['emerg', 'alert', 'crit', 'err', 'warn', 'notice', 'info', 'debug']
/** Statements of any chain. */
const anywhere: readonly string[] = [
  'accept',
  'drop',
  'continue',
  'return',
  'jump other',
  'goto other',
  'counter',
  'counter packets 7 bytes 900',
  ...['second', 'minute', 'hour', 'day', 'week'].map((unit) => `limit rate 10/${unit}`),
  'limit rate over 7/second',
  'limit rate 7/minute burst 9 packets',
  'limit rate 4096 bytes/second',
  'limit rate over 10 mbytes/second burst 6000 kbytes',
  'quota 100 mbytes',
  'quota over 20 kbytes used 3 bytes',
  'log',
  'log prefix "seen: "',
  ...levels.map((level) => `log level ${level}`),
  'log level audit',
  'log flags tcp sequence',
  'log flags tcp options',
  'log flags tcp sequence,options',
  'log flags ip options',
  'log flags skuid',
  'log flags ether',
  'log prefix "all" level warn flags all',
  'log group 3',
  'log group 3 prefix "g" snaplen 128 queue-threshold 20',
  'queue',
  'queue num 3',
  'queue num 1-3 bypass',
  'queue flags bypass,fanout to 4-7',
  'queue flags bypass to numgen inc mod 4',
  'meta mark set 0x10',
  'meta mark set meta mark & 0xffff00ff | 0x1200',
  'meta mark set meta mark ^ 0x7',
  'meta mark set meta mark << 8',
  'meta mark set meta mark >> 4',
  'meta mark set numgen inc mod 9',
  'meta mark set meta cpu map { 0 : 0x10, 1 : 0x20 }',
  'meta priority set 1:7',
  'meta nftrace set 1',
  'counter name "c"',
  'quota name "q"',
  'limit name "l"',
  'counter name meta mark map { 0x1 : "c", 0x2 : "c" }',
  'add @marks { meta mark }',
  'update @marks { meta mark timeout 30s }',
  'delete @marks { meta mark }',
  'add @counted { meta mark counter }',
  'update @counted { meta mark timeout 1m limit rate 10/second }',
  'add @several { meta mark counter limit rate over 7/minute burst 5 packets }',
  'add @many { meta mark counter limit rate over 7/minute burst 5 packets }',
  'update @marksOf { meta mark : meta priority }',
  'meta mark @marks',
  'meta mark != @marks counter',
  'meta mark vmap @verdicts',
  'meta priority set meta mark map @marksOf',
]

/** Statements of routed packets, by the chains that take them; `in` for any of both families. */
interface Statements {
  readonly families: readonly Family[]
  readonly chain: string
  readonly lines: readonly string[]
}
const routedFamilies = ['ip', 'ip6', 'inet'] as const
const withPorts = ['tcp dport 80', 'meta l4proto udp']
const natFlags = ['', ' random', ' fully-random', ' persistent', ' random,persistent']
const placed: readonly Statements[] = [
  {
    families: routedFamilies,
    chain: 'in',
    lines: [
      'reject',
      'tcp dport 22 reject with tcp reset',
      'ct mark set 7',
      'ct mark set meta mark',
      'ct mark set ct mark | 0x10',
      'ct mark set ct mark & 0xff00 | 0x3',
      'ct event set new,destroy',
      'ct helper set "h"',
      'ct timeout set "tt"',
      'ct expectation set "e"',
      'ct label set 1',
      'synproxy',
      'synproxy mss 1460 wscale 7 timestamp sack-perm',
      'synproxy name "sp"',
      'meta secmark set ct secmark',
      'meta secmark set "sm"',
      'ct count 4 accept',
      'add @limited { ct mark ct count over 20 }',
      'tcp option maxseg size set 1360',
      'tcp option timestamp tsval set 1',
      'reset tcp option sack-perm',
      'tcp sport set 1024',
      'tcp dport set tcp sport',
      'udp dport set numgen inc mod 3 map { 0 : 80, 1 : 81, 2 : 82 }',
      'udp checksum set 0',
      'tcp flags set syn',
      'sctp dport set 80',
      '@th,16,16 set 0x50',
      '@nh,0,8 set 0x45',
      'socket transparent 1 meta mark set socket mark accept',
      'meta mark set jhash tcp dport mod 5',
      'meta mark set symhash mod 7 offset 3',
      'ct mark set meta mark map { 1 : 2, 3 : 4 }',
      'tcp dport vmap { 22 : accept, 80-90 : jump other, 443 : goto other }',
      'tcp dport vmap { 22 : return, * : continue }',
      'tcp dport { 22, 80 } counter accept comment "a comment"',
      'tcp dport @ports',
      'meta l4proto . th dport @pairs',
      'iifname . meta mark @named accept',
      'ct state vmap { new : accept, established : drop }',
      'ct status & dnat == dnat accept',
      'meta l4proto { tcp, udp } th dport 53',
    ],
  },
  {
    families: routedFamilies,
    chain: 'pre',
    lines: [
      'meta pkttype set host',
      'meta l4proto tcp tproxy to :8080',
      'meta l4proto udp socket transparent 1 accept',
      'fib saddr . iif oif missing drop',
    ],
  },
  {
    families: routedFamilies,
    chain: 'raw',
    lines: ['notrack', 'ct zone set 7', 'ct original zone set 8', 'ct zone set iif map { "lo" : 3 }'],
  },
  {
    families: routedFamilies,
    chain: 'forwarded',
    lines: ['tcp option maxseg size set rt mtu', 'flow add @ft', 'synproxy wscale 3'],
  },
  { families: routedFamilies, chain: 'out', lines: ['meta skuid 0 counter', 'rt ipsec missing'] },
  { families: routedFamilies, chain: 'route', lines: ['meta mark set 3', 'ct mark set 3 accept'] },
  {
    families: routedFamilies,
    chain: 'postnat',
    lines: [
      ...natFlags.map((flags) => `masquerade${flags}`),
      ...natFlags.flatMap((flags) => withPorts.map((match) => `${match} masquerade to :1024-2048${flags}`)),
      'meta l4proto tcp masquerade to :1024',
    ],
  },
  {
    families: routedFamilies,
    chain: 'prenat',
    lines: [
      ...natFlags.map((flags) => `redirect${flags}`),
      ...natFlags.map((flags) => `tcp dport 80 redirect to :8080${flags}`),
      'udp dport 53 redirect to :5300-5310 random',
      'tcp dport 80 redirect to :tcp dport map { 80 : 8080, 81 : 8081 }',
    ],
  },
  ...[4, 6].map((version): Statements => ({
    families: version === 4 ? ['ip', 'inet'] : ['ip6', 'inet'],
    chain: 'prenat',
    lines: natLines(version === 4 ? 'ip' : 'ip6', 'dnat'),
  })),
  ...[4, 6].map((version): Statements => ({
    families: version === 4 ? ['ip', 'inet'] : ['ip6', 'inet'],
    chain: 'postnat',
    lines: natLines(version === 4 ? 'ip' : 'ip6', 'snat'),
  })),
  {
    families: ['ip', 'inet'],
    chain: 'in',
    lines: [
      ...[
        'net-unreachable',
        'host-unreachable',
        'prot-unreachable',
        'port-unreachable',
        'admin-prohibited',
      ].map((code) => `reject with icmp ${code}`),
      'ip dscp set cs3',
      'ip ecn set ce',
      'ip ttl set 7',
      'ip saddr set 10.0.0.7',
      'ip daddr set ip saddr map { 10.0.0.1 : 10.0.0.2 }',
      'ip id set 0',
      'icmp type echo-request icmp id set 5',
      'ip saddr @hosts',
      'ip saddr != @hosts drop',
      'ip saddr @nets meta mark set 1',
      'ip saddr . tcp dport @services accept',
      'ip saddr . ip daddr . tcp dport @rangesOf accept',
      'ip saddr . tcp dport vmap @dispatch',
      'add @hosts { ip saddr }',
      'add @pairsOf { ip saddr . tcp dport }',
      'update @pairsOf { ip saddr . tcp dport timeout 10m counter }',
      'add @pairsOf { ip saddr . tcp dport limit rate 400/minute burst 5 packets }',
      'update @addressOf { ip saddr : ip daddr }',
      'ip saddr vmap { 10.0.0.0/8 : accept, 192.168.0.0/16 : drop }',
      'ip saddr { 10.0.0.0/8, 192.168.1.1-192.168.1.9 } counter',
      'counter name ip saddr map { 10.0.0.1 : "c", 10.0.0.2 : "c" }',
      'quota name ip saddr map @quotaOf',
      'meta mark set ip saddr map { 10.0.0.0/8 : 1, 172.16.0.0/12 : 2 }',
    ],
  },
  {
    families: ['ip6', 'inet'],
    chain: 'in',
    lines: [
      ...['no-route', 'admin-prohibited', 'addr-unreachable', 'port-unreachable'].map(
        (code) => `reject with icmpv6 ${code}`,
      ),
      'ip6 dscp set cs3',
      'ip6 hoplimit set 7',
      'ip6 flowlabel set 7',
      'ip6 saddr set 2001:db8::7',
      'ip6 saddr @hosts6',
      'ip6 saddr . tcp dport @services6 accept',
      'add @hosts6 { ip6 saddr timeout 5s }',
      'ip6 saddr vmap { 2001:db8::/32 : accept, fe80::/10 : drop }',
      'ip6 saddr { 2001:db8::/32, fe80::1-fe80::9 } counter',
      'ip6 nexthdr vmap { tcp : accept, udp : drop }',
      'reset tcp option 4',
    ],
  },
  {
    families: ['inet', 'bridge', 'netdev'],
    chain: 'in',
    lines: ['no-route', 'port-unreachable', 'host-unreachable', 'admin-prohibited'].map(
      (code) => `reject with icmpx ${code}`,
    ),
  },
  {
    families: ['ip'],
    chain: 'pre',
    lines: [
      'dup to 10.0.0.9',
      'dup to 10.0.0.9 device "lo"',
      'tcp dport 80 tproxy to 10.0.0.1',
      'tcp dport 80 tproxy to 10.0.0.1:8080',
      'dup to ip saddr map { 10.0.0.1 : 10.0.0.3 }',
    ],
  },
  {
    families: ['ip6'],
    chain: 'pre',
    lines: [
      'dup to 2001:db8::9',
      'dup to 2001:db8::9 device "lo"',
      'tcp dport 80 tproxy to [2001:db8::1]:8080',
    ],
  },
  {
    families: ['inet'],
    chain: 'pre',
    lines: [
      'tcp dport 80 tproxy ip to 10.0.0.1:8080',
      'tcp dport 80 tproxy ip6 to [2001:db8::1]:8080',
      'tcp dport 80 tproxy ip to :90',
    ],
  },
  {
    families: ['inet'],
    chain: 'ingress',
    lines: ['ip saddr 10.0.0.1 drop', 'tcp dport 22 counter', 'meta mark set 1'],
  },
  {
    families: ['netdev'],
    chain: 'in',
    lines: [
      'fwd to "lo"',
      'fwd ip to 10.0.0.1 device "lo"',
      'fwd ip6 to 2001:db8::1 device "lo"',
      'dup to "lo"',
      'fwd to meta mark map { 1 : "lo" }',
      'ether daddr set 02:00:00:00:00:09',
      'vlan id set 7',
      'ip daddr set 10.0.0.4',
      'ip dscp set ef',
      'dup to meta mark map { 1 : "lo" }',
    ],
  },
  {
    families: ['netdev'],
    chain: 'out',
    lines: ['fwd to "lo"', 'dup to "lo"', 'meta mark set 4', 'ether saddr set 02:00:00:00:00:09'],
  },
  {
    families: ['bridge'],
    chain: 'in',
    lines: [
      'ether daddr set 02:00:00:00:00:09',
      'reject',
      'ip protocol tcp reject with tcp reset',
      'ether saddr . ip saddr { 02:00:00:00:00:01 . 10.0.0.1 }',
    ],
  },
  { families: ['bridge'], chain: 'pre', lines: ['meta pkttype set host'] },
  {
    families: ['arp'],
    chain: 'in',
    lines: [
      'arp operation set reply',
      'arp saddr ip set 10.0.0.1',
      'arp daddr ether set 02:00:00:00:00:09',
      'arp saddr ip { 10.0.0.1, 10.0.0.2 } drop',
    ],
  },
]

function natLines(protocol: 'ip' | 'ip6', verb: 'snat' | 'dnat'): string[] {
  const [a, b, net] =
    protocol === 'ip'
      ? ['10.9.0.1', '10.9.0.7', '10.9.0.0/24']
      : ['2001:db8::1', '2001:db8::7', '2001:db8:1::/64']
  const at = (address: string, ports: string): string =>
    protocol === 'ip' ? `${address}:${ports}` : `[${address}]:${ports}`
  const span = protocol === 'ip' ? `${a}-${b}` : `${a}-${b}`
  const say = `${verb} ${protocol} to`
  return [
    ...natFlags.map((flags) => `${say} ${a}${flags}`),
    ...natFlags.map((flags) => `${say} ${span}${flags}`),
    `tcp dport 80 ${say} ${at(a, '8080')}`,
    `tcp dport 80 ${say} ${at(a, '8080-8090')} random`,
    `tcp dport 80 ${say} ${protocol === 'ip' ? `${span}:8080-8090` : `[${a}]-[${b}]:8080-8090`} persistent`,
    `meta l4proto tcp ${verb} to :8080`,
    `${verb} ${protocol} prefix to ${protocol} ${verb === 'snat' ? 'saddr' : 'daddr'} map { ${protocol === 'ip' ? '10.1.0.0/24' : '2001:db8:7::/64'} : ${net} }`,
    `${say} ${protocol} saddr map { ${a} : ${b} }`,
    `${say} numgen inc mod 2 map { 0 : ${a}, 1 : ${b} }`,
    `${say} jhash ${protocol} saddr mod 2 seed 0x7 map { 0 : ${a}, 1 : ${b} }`,
    `${say} symhash mod 2 map { 0 : ${a}, 1 : ${b} }`,
    `meta l4proto tcp ${verb} ${protocol} to ${protocol} saddr . tcp dport map { ${a} . 80 : ${b} . 8080 }`,
    `meta l4proto tcp ${verb} ${protocol} addr . port to ${protocol} saddr map { ${a} : ${b} . 8080 }`,
    `${verb} ${protocol} interval to ${protocol} saddr map { ${net} : ${a}-${b} }`,
  ]
}

/** Fields that are put together into concatenations, each with a key, a second one and a range. */
const parts: Readonly<
  Record<'ip' | 'ip6' | 'any', readonly (readonly [text: string, a: string, b: string, range: string])[]>
> = {
  any: [
    ['tcp dport', '22', '80', '90-99'],
    ['tcp sport', '22', '80', '1024-65535'],
    ['meta mark', '1', '2', '3-9'],
    ['ct mark', '1', '2', '3-9'],
    ['iifname', '"lo"', '"eth0"', '"veth7"'],
    ['ct state', 'new', 'established', 'related'],
  ],
  ip: [
    ['ip saddr', '10.0.0.1', '10.0.0.2', '10.1.0.0/16'],
    ['ip daddr', '10.0.0.1', '10.0.0.2', '10.2.0.1-10.2.0.9'],
    ['ip protocol', 'tcp', 'udp', 'sctp'],
  ],
  ip6: [
    ['ip6 saddr', '2001:db8::1', '2001:db8::2', '2001:db8:1::/48'],
    ['ip6 daddr', '2001:db8::1', '2001:db8::2', '2001:db8:2::1-2001:db8:2::9'],
    ['ip6 nexthdr', 'tcp', 'udp', 'sctp'],
  ],
}
function concatenations(protocol: 'ip' | 'ip6'): string[] {
  const all = [...parts[protocol].slice(0, 2), ...parts.any]
  const lists = all.flatMap((first, i) =>
    all
      .slice(i + 1)
      .flatMap((second, j) => [
        [first, second],
        ...all.slice(i + j + 2).map((third) => [first, second, third]),
      ]),
  )
  return lists.flatMap((list, index) => {
    const [key, a, b, range] = [0, 1, 2, 3].map((at) => list.map((part) => part[at as 0]).join(' . '))
    const forms = [
      `${key} { ${a}, ${b} }`,
      `${key} != { ${a}, ${b} }`,
      `${key} { ${a}, ${range} }`,
      `${key} vmap { ${a} : accept, ${b} : jump other }`,
      `meta mark set ${key} map { ${a} : 7, ${b} : 9 }`,
    ]
    // All forms of pairs, two of each three.
    return list.length === 2 ? forms : [forms[index % forms.length]!, forms[(index + 2) % forms.length]!]
  })
}

/** Sets, maps and objects that lines refer to, each by itself. */
function thingsOf(family: Family): string[] {
  const at = `${family} t`
  const common = [
    `add set ${at} marks { typeof meta mark; size 1000; flags dynamic,timeout; }`,
    `add set ${at} counted { type mark; flags dynamic,timeout; timeout 1h; gc-interval 90s; size 65535; }`,
    `add set ${at} several { type mark; flags dynamic; size 10; counter limit rate over 7/minute burst 5 packets; }`,
    `add set ${at} many { type mark; flags dynamic; size 10; }`,
    `add map ${at} marksOf { type mark : classid; flags dynamic; size 100; }`,
    `add map ${at} verdicts { type mark : verdict; comment "where they go"; elements = { 1 : accept, 2 : drop, 3 : jump other, 4 : goto other, 5 : continue, 6 : return }; }`,
    `add set ${at} plain { type mark; policy memory; elements = { 1 comment "one", 2, 3 }; comment "a set"; }`,
    `add set ${at} spans { type mark; flags interval; auto-merge; elements = { 1-9, 20, 30-39 comment "thirties" }; }`,
    `add set ${at} constants { type mark; flags constant; elements = { 7, 8 }; }`,
    `add set ${at} timed { type mark; flags timeout; elements = { 7 timeout 10h, 8 timeout 2d }; }`,
    `add set ${at} counting { type mark; counter; elements = { 7 counter packets 3 bytes 40, 8 }; }`,
    `add set ${at} metered { type mark; quota 10 mbytes; elements = { 7 }; }`,
    `add map ${at} rest { type mark : mark; elements = { 7 : 8, * : 9 }; }`,
    `add map ${at} ranged { type mark : mark; flags interval; elements = { 1-9 : 8, 20 : 9 }; }`,
    `add counter ${at} c { packets 4 bytes 200; comment "counts"; }`,
    `add counter ${at} zero`,
    `add quota ${at} q { over 25 mbytes; }`,
    `add quota ${at} partly { 25 mbytes used 7 bytes; }`,
    `add limit ${at} l { rate 400/minute burst 7 packets; }`,
    `add limit ${at} lb { rate over 1024 kbytes/second burst 512 bytes; }`,
    `add map ${at} countersOf { type mark : counter; elements = { 1 : "c", 2 : "zero" }; }`,
  ]
  if (family === 'arp' || family === 'bridge' || family === 'netdev') return common
  const layer3 = family === 'inet' ? 'ip' : family
  return [
    ...common,
    `add set ${at} ports { type inet_service; flags interval; elements = { 22, 80-90 }; }`,
    `add set ${at} pairs { type inet_proto . inet_service; elements = { tcp . 80, udp . 53 }; }`,
    `add set ${at} named { type ifname . mark; elements = { "lo" . 1 }; }`,
    `add set ${at} limited { typeof ct mark; flags dynamic; size 100; }`,
    `add ct helper ${at} h { type "ftp" protocol tcp; l3proto ${layer3}; }`,
    `add ct helper ${at} sip { type "sip" protocol udp; }`,
    `add ct timeout ${at} tt { protocol tcp; l3proto ${layer3}; policy = { established : 100, close : 4 }; }`,
    `add ct timeout ${at} tu { protocol udp; policy = { unreplied : 10, replied : 50 }; }`,
    `add ct expectation ${at} e { protocol tcp; dport 5432; timeout 1h; size 12; l3proto ${layer3}; }`,
    `add synproxy ${at} sp { mss 1460; wscale 9; timestamp sack-perm; }`,
    `add secmark ${at} sm { "system_u:object_r:ssh_server_packet_t:s0"; }`,
    `add flowtable ${at} ft { hook ingress priority 0; devices = { lo }; }`,
    ...(family === 'ip6'
      ? []
      : [
          `add set ${at} hosts { type ipv4_addr; flags dynamic; size 100; elements = { 10.0.0.1, 10.0.0.2 }; }`,
          `add set ${at} nets { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 192.168.1.1-192.168.1.9, 203.0.113.7 }; }`,
          `add set ${at} services { type ipv4_addr . inet_service; elements = { 10.0.0.1 . 80, 10.0.0.2 . 443 }; }`,
          `add set ${at} rangesOf { type ipv4_addr . ipv4_addr . inet_service; flags interval; elements = { 10.0.0.0/8 . 10.1.0.1-10.1.0.9 . 80-90 }; }`,
          `add map ${at} dispatch { type ipv4_addr . inet_service : verdict; elements = { 10.0.0.1 . 80 : goto other, 10.0.0.2 . 80 : accept }; }`,
          `add set ${at} pairsOf { type ipv4_addr . inet_service; flags dynamic,timeout; timeout 5m; size 1000; }`,
          `add map ${at} addressOf { type ipv4_addr : ipv4_addr; flags dynamic; size 100; }`,
          `add map ${at} quotaOf { type ipv4_addr : quota; elements = { 10.0.0.1 : "q" }; }`,
          `add map ${at} backends { type ipv4_addr . inet_service : ipv4_addr . inet_service; flags interval; elements = { 10.0.0.0/24 . 80 : 10.9.9.9 . 8080 }; }`,
        ]),
    ...(family === 'ip'
      ? []
      : [
          `add set ${at} hosts6 { type ipv6_addr; flags dynamic,timeout; size 100; }`,
          `add set ${at} services6 { type ipv6_addr . inet_service; elements = { 2001:db8::1 . 80, 2001:db8::2 . 443 }; }`,
          `add set ${at} nets6 { type ipv6_addr . inet_service; flags interval; elements = { 2001:db8::/64 . 80-90 }; }`,
        ]),
  ]
}

const families = Object.keys(chains) as Family[]

/** Tables and chains: whoever refuses these has no such family. */
export const frame: readonly string[] = families.flatMap((family) => [
  `add table ${family} t { comment "of ${family}"; }`,
  `add chain ${family} t other { comment "jumped to"; }`,
  ...Object.entries(chains[family]).map(([name, what]) => `add chain ${family} t ${name} { ${what}; }`),
])

/** What rules refer to, each by itself. */
export const things = (): string[] => families.flatMap(thingsOf)

/** What is tried by itself. */
export function alone(): string[] {
  return families.flatMap((family) => {
    const rule = (chain: string, text: string): string => `add rule ${family} t ${chain} ${text}`
    const matches = groupsOf[family].flatMap((group) => fields[group] as readonly Field[])
    return [
      ...matches.flatMap((one, index) =>
        someOf(family, formsOf(one), index).map((text) => rule(chainOf(family, one), text)),
      ),
      ...anywhere.map((text) => rule('in', text)),
      ...placed
        .filter(({ families: of }) => of.includes(family))
        .flatMap(({ chain: where, lines }) => lines.map((text) => rule(where, text))),
      ...(family === 'inet' ? concatenations('ip').map((text) => rule('in', text)) : []),
      ...(family === 'ip6' ? concatenations('ip6').map((text) => rule('in', text)) : []),
    ]
  })
}

/** All forms where most matches are, of the others' two for each match in turn. */
function someOf(family: Family, forms: readonly string[], index: number): readonly string[] {
  if (family === 'inet' || family === 'arp' || forms.length <= 2) return forms
  return [forms[index % forms.length]!, forms[(index + 1 + (forms.length >> 1)) % forms.length]!]
}

function chainOf(family: Family, { chain = 'in' }: Field): string {
  return chain in chains[family] ? chain : 'in'
}

/** Matches with each other and with statements, all of which were taken alone. */
export function together(taken: ReadonlySet<string>): string[] {
  return families.flatMap((family) => {
    const rule = (text: string): string => `add rule ${family} t in ${text}`
    const simple = (group: Group): string[] =>
      (fields[group] as readonly Field[]).flatMap((one) => {
        if (one.chain !== undefined && one.chain !== 'in') return []
        return formsOf(one)
          .filter((text) => taken.has(rule(text)))
          .slice(0, 1)
      })
    const ofProtocols = groupsOf[family].filter((group) => !free.includes(group)).flatMap(simple)
    const others = groupsOf[family].filter((group) => free.includes(group)).flatMap(simple)
    const goesOn = (text: string): boolean => !/^(accept|drop|return|continue|jump|goto|queue)/.test(text)
    const possible = anywhere.filter((text) => goesOn(text) && taken.has(rule(text)))
    return ofProtocols.flatMap((match, index) => {
      const pick = (list: readonly string[], step: number): string[] =>
        list.length === 0 ? [] : [list[(index * 7 + step * 11) % list.length]!]
      return [
        ...pick(others, 0).map((other) => rule(`${match} ${other} accept`)),
        ...pick(others, 1).map((other) => rule(`${match} ${other} counter`)),
        ...pick(possible, 0).map((statement) => rule(`${match} ${statement} drop`)),
        ...pick(possible, 1).map((statement) => rule(`${match} ${statement}`)),
      ]
    })
  })
}
