/** Arguments to commands, as ipvsadm 1.31 with popt takes them. The messages are held against Debian's in the lab. */
import t from 'tap'
import { UsageError } from '../../src/cli/exit.js'
import { type Command, UnresolvedName } from '../../src/cli/ipvsadm/command.js'
import { commandRules, optionNames, optionRows } from '../../src/cli/ipvsadm/options.js'
import { type Names, parse } from '../../src/cli/ipvsadm/parse.js'

const names: Names = {
  host: (name, family) => {
    const known: Readonly<Record<string, string | null>> = {
      '4 web': '192.0.2.1',
      '4 web6': null,
      '6 web6': '2001:db8::1',
      '6 web': null,
      '4 nowhere': null,
      '6 nowhere': null,
    }
    return known[`${family} ${name}`]
  },
  servicePort: (name, protocol) =>
    new Map([
      ['http tcp', 80],
      ['domain udp', 53],
    ]).get(`${name} ${protocol}`),
}

const parsed = (line: string): Command => parse(line.split(' '), names)

function refusal(line: string | readonly string[]): [string, number] {
  try {
    parse(typeof line === 'string' ? line.split(' ') : line, names)
  } catch (error) {
    if (error instanceof UsageError) return [error.message, error.exitCode]
    throw error
  }
  throw new Error(`taken: ${String(line)}`)
}

const web = { family: 'ipv4', protocol: 'tcp', address: '192.0.2.1', port: 80 }
const plainService = {
  ...web,
  scheduler: 'wlc',
  flags: { flags: 0, mask: 0xffff_ffff },
  persistenceTimeoutSeconds: 0,
  persistenceNetmask: '255.255.255.255',
  persistenceEngine: undefined,
}

void t.test('an argument may be given in every way that popt knows', async (t) => {
  for (const line of [
    '-A -t 192.0.2.1:80',
    '-A -t192.0.2.1:80',
    '-A -t=192.0.2.1:80',
    '-At 192.0.2.1:80',
    '-At192.0.2.1:80',
    '-A --tcp-service 192.0.2.1:80',
    '-A --tcp-service=192.0.2.1:80',
    '--add-service --tcp-service=192.0.2.1:http',
    '-A -t web:80',
    '-A -s wlc -t 192.0.2.1:80 --',
  ]) {
    t.strictSame(parsed(line), { command: 'add-service', service: plainService }, line)
  }
  t.match(parsed('-A -t 192.0.2.1:80 -p -s rr'), {
    service: { persistenceTimeoutSeconds: 360, scheduler: 'rr', flags: { flags: 1 } },
  })
  for (const line of ['-p 10', '-p10', '-p=10', '--persistent 10', '--persistent=10']) {
    t.match(parsed(`-A -t 192.0.2.1:80 ${line}`), { service: { persistenceTimeoutSeconds: 10 } }, line)
  }
  t.match(parsed('-Ln'), { command: 'list', what: 'all', format: { numeric: true, stats: false } })
  t.match(parsed('-lnX --stats --nosort --sort'), {
    format: { numeric: true, exact: true, stats: true, nosort: true },
  })
})

void t.test('what is wrong with an argument is said as popt says it', async (t) => {
  const help = "Try `ipvsadm -h' or 'ipvsadm --help' for more information."
  t.strictSame(refusal('-q'), [help, 255])
  t.strictSame(refusal('-n'), [help, 255], 'no command comes first')
  t.strictSame(refusal('-t 192.0.2.1:80 -A'), [help, 255])
  t.strictSame(refusal('--list=x'), [help, 255])
  t.strictSame(refusal([]), [help, 255])
  t.strictSame(refusal('-L -q'), ['-q: unknown option', 255])
  t.strictSame(refusal('-L --nonsense=3'), ['--nonsense=3: unknown option', 255])
  t.strictSame(refusal('-L -nq'), ['-nq: unknown option', 255])
  t.strictSame(refusal('-L -t'), ['-t: missing argument', 255])
  t.strictSame(refusal('-Ln=x'), ['-Ln=x: option does not take an argument', 255])
  t.strictSame(refusal('-L --numeric=1'), ['--numeric=1: option does not take an argument', 255])
  t.strictSame(refusal('-L -A'), ["invalid option `-A'", 2])
  t.strictSame(refusal('-LA'), ["invalid option `-LA'", 2])
  t.strictSame(refusal('-L foo'), ['unexpected argument foo', 2])
  t.strictSame(refusal('-L -- -n'), ['unexpected argument -n', 2])
  t.strictSame(refusal('-L -'), ['unexpected argument -', 2])
  t.strictSame(refusal(['-L', '']), ['unexpected argument ', 2])
  t.strictSame(parse(['-h'], names), { command: 'help' })
  t.strictSame(parse(['-v', '-q'], names), { command: 'version' })
  t.throws(() => parse(['-q'], names, 'viaduct ipvsadm'), /viaduct ipvsadm -h/)
})

void t.test('services', async (t) => {
  t.match(parsed('-A -u 10.1:domain -o -s rr'), {
    service: { protocol: 'udp', address: '10.0.0.1', port: 53, flags: { flags: 4 } },
  })
  t.match(parsed('-A --sctp-service [2001:db8::1]:90 -p 60 -M 64'), {
    service: {
      family: 'ipv6',
      protocol: 'sctp',
      address: '2001:db8::1',
      port: 90,
      flags: { flags: 1 },
      persistenceTimeoutSeconds: 60,
      persistenceNetmask: 64,
    },
  })
  t.match(parsed('-A -t 192.0.2.1:0 -p -M 255.255.0.0 --pe sip'), {
    service: { port: 0, persistenceNetmask: '255.255.0.0', persistenceEngine: 'sip' },
  })
  t.strictSame(parsed('-D -f 7'), { command: 'delete-service', service: { family: 'ipv4', firewallMark: 7 } })
  t.strictSame(parsed('-D -f 4294967295 -6'), {
    command: 'delete-service',
    service: { family: 'ipv6', firewallMark: 4_294_967_295 },
  })
  t.match(parsed('-A -t [web6]:80'), { service: { family: 'ipv6', address: '2001:db8::1', port: 80 } })
  t.match(parsed('-A -t 192.0.2.1:80 -b flag-1,flag-3 -s nosuchschedulerisknown'), {
    service: { scheduler: 'nosuchscheduler', flags: { flags: 0x28 } },
  })
  t.match(parsed('-A -f 1 -s sh -b sh-port,sh-fallback'), { service: { flags: { flags: 0x18 } } })
  t.strictSame(parsed('-Z'), { command: 'zero', service: undefined })
  t.strictSame(parsed('-Z -t 192.0.2.1:80'), { command: 'zero', service: web })
  t.strictSame(
    parsed('-Z -u 0.0.0.0:0'),
    { command: 'zero', service: undefined },
    'for ipvsadm this is no service',
  )
})

void t.test('services that cannot be meant', async (t) => {
  const cases: readonly (readonly [string, string])[] = [
    ['-A', "You need to supply the 'service-address' option for the 'add-service' command"],
    ['-A -t 80', 'illegal virtual server address[:port] specified'],
    ['-A -t nowhere:80', 'illegal virtual server address[:port] specified'],
    ['-A -t 192.0.2.1:', 'illegal virtual server address[:port] specified'],
    ['-A -t 192.0.2.1:65536', 'illegal virtual server address[:port] specified'],
    ['-A -t 192.0.2.1:domain', 'illegal virtual server address[:port] specified'],
    ['-A -t [2001:db8::1]', 'illegal virtual server address[:port] specified'],
    ['-A -t [2001:db8::1]80', 'illegal virtual server address[:port] specified'],
    ['-A -t 192.0.2.1', 'Zero port specified for non-persistent service'],
    ['-A -t 2001:db8::1', 'Zero port specified for non-persistent service'],
    ['-A -t [192.0.2.1]:80', 'Zero port specified for non-persistent service'],
    ['-A -t 192.0.2.1:80 -o', 'One-Packet Scheduling is only for UDP virtual services'],
    ['-A -t 192.0.2.1:80 -t 192.0.2.1:81', "multiple 'service-address' options specified"],
    ['-A -f 0', "invalid fwmark value `0' specified"],
    ['-A -f 4294967296', "invalid fwmark value `4294967296' specified"],
    ['-A -6 -f 1', '-6 used before -f\n'],
    ['-A -t [fe80::1%lo]:80', 'illegal virtual server address[:port] specified'],
    ['-A -t 192.0.2.1:80 -p 0', "invalid timeout value `0' specified"],
    ['-A -t 192.0.2.1:80 -p 2678401', "invalid timeout value `2678401' specified"],
    ['-A -t 192.0.2.1:80 -p rr', "invalid timeout value `rr' specified"],
    ['-A -t [::1]:80 -p -M 129', 'illegal ipv6 netmask specified'],
    ['-A -t 192.0.2.1:80 -p -M nowhere', 'illegal virtual server persistent mask specified'],
    ['-A -t 192.0.2.1:80 -b nonsense', "invalid scheduler flag `nonsense'"],
    ['-A -t 192.0.2.1:80 -b sh-port', "incompatible scheduler flag `sh-port'"],
    ['-A -t 192.0.2.1:80 -s mh -b sh-port', "incompatible scheduler flag `sh-port'"],
    ['-A -t 192.0.2.1:80 -n', "Illegal 'numeric' option with the 'add-service' command"],
    ['-A -t 192.0.2.1:80 -r 10.0.0.1', "Illegal 'real-server' option with the 'add-service' command"],
    ['-D -t 192.0.2.1:80 -s rr', "Illegal 'scheduler' option with the 'delete-service' command"],
    ['-C -n', "Illegal 'numeric' option with the 'flush' command"],
  ]
  for (const [line, message] of cases) t.strictSame(refusal(line), [message, 2], line)
})

void t.test('real servers', async (t) => {
  const usual = {
    family: 'ipv4',
    address: '10.0.0.1',
    port: 80,
    forwardingMethod: 'direct-route',
    weight: 1,
    upperThreshold: 0,
    lowerThreshold: 0,
    tunnelType: 'ipip',
    tunnelPort: 0,
    tunnelFlags: [],
  }
  t.strictSame(parsed('-a -t 192.0.2.1:80 -r 10.0.0.1'), {
    command: 'add-server',
    service: web,
    destination: usual,
  })
  t.match(
    parsed('-a -t 192.0.2.1:80 -r 10.0.0.1:81 -g'),
    { destination: { port: 80 } },
    "its port is the service's",
  )
  t.match(parsed('-a -t 192.0.2.1:80 -r 10.0.0.1:81 -i'), {
    destination: { port: 80, forwardingMethod: 'tunnel' },
  })
  t.match(parsed('-a -t 192.0.2.1:80 -r 10.0.0.1:81 -m'), {
    destination: { port: 81, forwardingMethod: 'masquerade' },
  })
  t.match(parsed('-a -f 7 -r 10.0.0.1:81 -g'), { destination: { port: 81 } }, 'a mark has no port')
  t.match(
    parsed('-a -r 10.0.0.1 -t 192.0.2.1:80 -m'),
    { destination: { port: 0 } },
    'the service is not known yet',
  )
  t.match(parsed('-e -t 192.0.2.1:80 -r 10.0.0.1 -m -w 2147483647 -x 70000 -y 5'), {
    command: 'edit-server',
    destination: { weight: 2_147_483_647, upperThreshold: 70_000, lowerThreshold: 5 },
  })
  t.match(parsed('-a -t 192.0.2.1:80 -r [2001:db8::7]:80 -i --tun-type gue --tun-port 6080 --tun-remcsum'), {
    destination: { family: 'ipv6', tunnelType: 'gue', tunnelPort: 6080, tunnelFlags: ['remote-checksum'] },
  })
  t.match(parsed('-a -t 192.0.2.1:80 -r 10.0.0.1 -i --tun-type gre --tun-csum'), {
    destination: { tunnelType: 'gre', tunnelFlags: ['checksum'] },
  })
  t.match(parsed('-d -t 192.0.2.1:80 -r 10.0.0.1:8080'), {
    command: 'delete-server',
    destination: { port: 8080 },
  })
})

void t.test('real servers that cannot be meant', async (t) => {
  const start = '-a -t 192.0.2.1:80 -r 10.0.0.1'
  const cases: readonly (readonly [string, string])[] = [
    ['-a -t 192.0.2.1:80', "You need to supply the 'real-server' option for the 'add-server' command"],
    ['-a -r web:http -t 192.0.2.1:80', 'illegal real server address[:port] specified'],
    ['-a -t 192.0.2.1:80 -r 80', 'illegal real server address[:port] specified'],
    [`${start} -w -1`, 'illegal weight specified'],
    [`${start} -w 2147483648`, 'illegal weight specified'],
    [`${start} -x many`, 'illegal u_threshold specified'],
    [`${start} -y 2147483648`, 'illegal l_threshold specified'],
    [`${start} -g -i`, "multiple 'forwarding-method' options specified"],
    [`${start} --tun-type gre`, 'Tunnel options conflict with forward method'],
    [`${start} -i --tun-type vxlan`, 'illegal tunnel type specified'],
    [`${start} -i --tun-type gue`, "You need to supply the 'tun-port' option for the 'gue' tunnel type"],
    [`${start} -i --tun-port 0`, 'illegal tunnel port specified'],
    [`${start} -i --tun-port 1`, "Illegal 'tun-port' option with the 'ipip' tunnel type"],
    [`${start} -i --tun-type gre --tun-remcsum`, "Illegal 'tun-remcsum' option with the 'gre' tunnel type"],
    [
      `${start} -i --tun-type gre --tun-csum --tun-nocsum`,
      "The option 'tun-csum' conflicts with the 'tun-nocsum' option in the 'gre' tunnel type",
    ],
    [
      '-a -t 192.0.2.1:80 -r [2001:db8::7]:80',
      'Different address family is allowed only for tunneling servers',
    ],
    ['-d -t 192.0.2.1:80 -r 10.0.0.1 -w 1', "Illegal 'weight' option with the 'delete-server' command"],
  ]
  for (const [line, message] of cases) t.strictSame(refusal(line), [message, 2], line)
})

void t.test('lists, timeouts and daemons', async (t) => {
  t.match(parsed('-L -t 192.0.2.1:80 --rate'), { what: 'service', service: web, format: { rate: true } })
  t.match(parsed('-Lc --persistent-conn'), { what: 'connections', format: { persistentConn: true } })
  t.match(parsed('-L --timeout'), { what: 'timeout' })
  t.match(parsed('-L --daemon --syncid 3'), { what: 'daemon' })
  t.match(parsed('-Sn'), { command: 'save', format: { numeric: true } })
  t.strictSame(parsed('-R'), { command: 'restore' })
  t.strictSame(parsed('--set 1 0 2678400'), {
    command: 'set',
    tcpSeconds: 1,
    tcpFinSeconds: 0,
    udpSeconds: 2_678_400,
  })
  t.strictSame(parsed('--start-daemon master'), {
    command: 'start-daemon',
    daemon: {
      state: 'master',
      interface: 'eth0',
      syncId: 0,
      maximumLength: undefined,
      multicastPort: undefined,
      multicastTtl: undefined,
    },
  })
  t.match(
    parsed(
      '--start-daemon=backup --mcast-interface eth7 --syncid 255 --sync-maxlen 1400 --mcast-group ff02::81 --mcast-port 9 --mcast-ttl 3',
    ),
    {
      daemon: {
        state: 'backup',
        interface: 'eth7',
        syncId: 255,
        maximumLength: 1400,
        multicastGroup6: 'ff02::81',
        multicastPort: 9,
        multicastTtl: 3,
      },
    },
  )
  t.strictSame(parsed('--stop-daemon backup'), { command: 'stop-daemon', state: 'backup' })
  const cases: readonly (readonly [string, string])[] = [
    ['-L -c --timeout', "The option 'timeout' conflicts with the 'connection' option in the 'list' command"],
    ['-L -c --stats', 'options conflicts in the list command'],
    ['-L --daemon --persistent-conn', 'options conflicts in the list command'],
    ['-L -w 3', "Illegal 'weight' option with the 'list' command"],
    ['-S --stats', "Illegal 'stats' option with the 'save' command"],
    ['--set 1 2', '--set option requires 3 timeout values'],
    ['--set 1 2 3 4', 'unexpected argument 4'],
    ['--set 1 2 2678401', "invalid timeout value `2678401' specified"],
    ['--start-daemon slave', 'illegal start-daemon parameter specified'],
    ['--stop-daemon slave', 'illegal start_daemon specified'],
    ['--start-daemon master --syncid 256', 'illegal syncid specified'],
    ['--start-daemon master --mcast-port 0', 'illegal mcast-port specified'],
    ['--start-daemon master --mcast-ttl 256', 'illegal mcast-ttl specified'],
    ['--start-daemon master --sync-maxlen 65508', 'illegal sync-maxlen specified'],
    ['--start-daemon master --mcast-group 10.0.0.1', "invalid IPv4 mcast-group `10.0.0.1'"],
    ['--start-daemon master --mcast-group fe80::1', "invalid IPv6 mcast-group `fe80::1'"],
    ['--stop-daemon master --mcast-ttl 3', "Illegal 'mcast-ttl' option with the 'stop-daemon' command"],
  ]
  for (const [line, message] of cases) t.strictSame(refusal(line), [message, 2], line)
})

void t.test('a name that is not known yet is asked for', async (t) => {
  t.throws(() => parsed('-A -t db:80'), new UnresolvedName('db', 4))
  t.throws(() => parsed('-A -t [db]:80'), new UnresolvedName('db', 6))
})

void t.test('the tables of options and commands fit each other', async (t) => {
  const shorts = optionRows.flatMap(({ short }) => short ?? [])
  t.equal(new Set(shorts).size, shorts.length, 'each letter is one option')
  const used = new Set(
    Object.values(commandRules).flatMap(({ needs, takes, oneOf }) => [...needs, ...takes, ...oneOf]),
  )
  for (const name of optionNames) {
    t.ok(used.has(name), `${name} is taken by some command`)
    t.ok(
      optionRows.some((row) => row.name === name),
      `${name} can be written`,
    )
  }
})
