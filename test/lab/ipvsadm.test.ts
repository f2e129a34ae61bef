/** `viaduct ipvsadm` against Debian's: the same commands, the same states, the same output. */
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { readTotals } from '../../src/ipvs/proc.js'
import type { Host } from '../../src/testing/index.js'
import type { MakeSandbox } from '../kernel/kernel-test.js'
import { ipvsTest } from './ipvs-test.js'
import { isHere } from './support/features.js'
import {
  debianRules,
  endTheirs,
  type Line,
  ours,
  sameLists,
  sameStates,
  stateOf,
  theirs,
} from './support/ipvsadm-both.js'
import { until } from './support/until.js'

const leastStates = 60
/** Those that were compared, each once. */
const states = new Set<string>()

async function pair(sandbox: MakeSandbox): Promise<{ debian: Host; viaduct: Host }> {
  return (await sandbox({ hosts: ['debian', 'viaduct'], links: [] })).hosts
}

function bothTest(name: string, work: (t: Test, sandbox: MakeSandbox) => Promise<void>): void {
  ipvsTest(name, async (t, sandbox) => {
    try {
      await work(t, sandbox)
    } finally {
      await endTheirs()
    }
  })
}

async function everyState(t: Test, sandbox: MakeSandbox, lines: readonly Line[]): Promise<void> {
  const { debian, viaduct } = await pair(sandbox)
  for (const state of await sameStates(t, debian, viaduct, lines)) states.add(state)
}

bothTest('ipvsadm: services', async (t, sandbox) => {
  await everyState(t, sandbox, [
    '-A -t 192.0.2.1:80',
    '-A -t 192.0.2.1:443 -s rr',
    '--add-service --udp-service=192.0.2.1:domain --scheduler=wrr',
    '-A --sctp-service 192.0.2.1:2905 -s lc',
    '-A -t [2001:db8::1]:80 -s sed',
    '-A -u [2001:db8::1]:53 -s nq -o',
    '-Au192.0.2.1:54 -o',
    '-A -f 1',
    '-A -f 1 -6 -s lblc',
    '-A -f 2147483648 -s lblcr',
    '-A -t 192.0.2.1:81 -p',
    '-A -t 192.0.2.1:82 -p 600 -M 255.255.255.0',
    '-A -t [2001:db8::1]:82 -p60 -M 64',
    '-A -u 192.0.2.1:5060 -p 60 --pe sip -o',
    '-A -t 192.0.2.1:0 -p 10',
    '-A -t 192.0.2.1:83 -s sh -b sh-fallback,sh-port',
    '-A -t 192.0.2.1:84 -s mh -b mh-port -p 100',
    '-A -t 192.0.2.1:85 -s dh -b flag-1,flag-3',
    '-A -t 192.0.2.1:86 -s sh -b flag-3',
    '-A -t 0x0a.1:http -s fo',
    '-A -t localhost:https -s ovf',
    '-E -t 192.0.2.1:80 -s rr',
    '-E -t 192.0.2.1:81',
    '-E -t 192.0.2.1:83 -s sh -b sh-port',
    '-E -u 192.0.2.1:5060 -p 60',
    '-E -f 1 -p 5 -s sh',
    '-D -t 192.0.2.1:443',
    '-D -f 1 -6',
    '-D -t [2001:db8::1]:80',
    '--set 100 0 33',
  ])
})

bothTest('ipvsadm: real servers', async (t, sandbox) => {
  const web = '-t 192.0.2.1:80'
  await everyState(t, sandbox, [
    `-A ${web}`,
    `-a ${web} -r 10.0.0.1`,
    `-a ${web} -r 10.0.0.2:81 -g -w 0`,
    `-a ${web} -r 10.0.0.2:8080 -m -w 100`,
    `-a ${web} -r 10.0.0.3 -i -w 2147483647`,
    `-a ${web} -r 10.0.0.4 -m -x 100 -y 70`,
    `-a ${web} -r 127.0.0.1 -m`,
    `-a ${web} -r 10.0.0.5:0 -m`,
    `-a -r 10.0.0.6 ${web} -m`,
    '-A -t [2001:db8::1]:443 -s rr',
    '-a -t [2001:db8::1]:443 -r [2001:db8::a] -m',
    '-a -t [2001:db8::1]:443 -r [::a.b.c.d]:443 -m'.replace('a.b.c.d', '10.0.0.7'),
    '-a -t [2001:db8::1]:443 -r [::ffff:a00:8]:8443 -m',
    '-a -t [2001:db8::1]:443 -r 10.0.0.9 -i',
    `-a ${web} -r [2001:db8::b]:80 -i`,
    `-a ${web} -r [2001:db8::a]:80 -i -w 3`,
    `-a ${web} -r 10.0.0.11 -i --tun-type gue --tun-port 6080`,
    `-a ${web} -r 10.0.0.12 -i --tun-type gue --tun-port 65535 --tun-remcsum`,
    `-a ${web} -r 10.0.0.13 -i --tun-type gre --tun-csum`,
    `-a ${web} -r 10.0.0.14 -i --tun-type gre --tun-nocsum`,
    `-a ${web} -r 10.0.0.15 -i --tun-type ipip`,
    '-A -f 7',
    '-a -f 7 -r 10.0.0.1:8080 -g',
    '-a -f 7 -r 10.0.0.2 -m',
    '-A -f 7 -6',
    '-a -f 7 -6 -r [2001:db8::c]:80 -m',
    `-e ${web} -r 10.0.0.1 -m -w 5 -x 3`,
    `-e ${web} -r 10.0.0.11 -i --tun-type gre`,
    `-d ${web} -r 10.0.0.2:8080`,
    '-d -f 7 -r 10.0.0.1:8080',
    `-D ${web}`,
    '-C',
  ])
})

bothTest('ipvsadm: the order of a list, also where it is none', async (t, sandbox) => {
  const { viaduct } = await pair(sandbox)
  // ipvsadm compares by 32-bit differences: these come before each other in circles.
  const circle = [
    '9.0.0.1',
    '200.0.0.1',
    '100.0.0.1',
    '200.0.0.2',
    '150.0.0.1',
    '8.0.0.1',
    '222.0.0.1',
    '1.0.0.1',
  ]
  const circle6 = ['2001:db8::1', '1::1', '3fff::9', '2001:db8::8000:0', '2001:db8::7fff:0', '2000::1:0:0:0']
  const services = circle.flatMap((address) => [`-t ${address}:80`, `-u ${address}:80`])
  const services6 = [...circle6, '8000::1', 'f000::1'].map((address) => `-t [${address}]:80`)
  const lines = [...services, ...services6].map((service) => `-A ${service}`)
  for (const [index, service] of services.entries()) {
    for (const server of [...circle.slice(index), ...circle.slice(0, index)])
      lines.push(`-a ${service} -r ${server} -m`)
  }
  // Of mixed families the first says how much is compared.
  for (const service of [services[0]!, services6[0]!]) {
    for (const [index, server] of circle6.entries()) {
      lines.push(`-a ${service} -r [${server}]:80 -i`, `-a ${service} -r ${circle[index]!} -i`)
    }
  }
  lines.push(...[3, 2_147_483_647, 2_147_483_648, 4_294_967_295, 1].map((mark) => `-A -f ${mark}`))
  for (const part of [lines.slice(0, 30), lines.slice(30, 100), lines.slice(100)]) {
    const { stderr } = await ours(viaduct, { line: '-R', input: part.join('\n') })
    // Tunnels to the four of this service that are masqueraded to already.
    t.notMatch(stderr, /Invalid|not defined/)
    await sameLists(t, viaduct, `${part.length} more`, ['-Ln', '-Ln --nosort', '-Ln --stats'])
    states.add(await stateOf(viaduct))
  }
})

bothTest('ipvsadm: thousands of real servers, in services of very different size', async (t, sandbox) => {
  const { viaduct } = await pair(sandbox)
  const lines: string[] = []
  // One service is larger than all that is read of /proc at once.
  for (const [index, count] of [1, 2500, 0, 40, 3, 400, 0].entries()) {
    lines.push(`-A -t 192.0.2.${index}:80 -s rr`)
    for (let server = 0; server < count; server++) {
      lines.push(
        `-a -t 192.0.2.${index}:80 -r 10.${index}.${server >> 8}.${server & 255}:${1 + server} -m -w ${server}`,
      )
    }
  }
  t.strictSame(await ours(viaduct, { line: '-R', input: lines.join('\n') }), {
    exitCode: 0,
    stdout: '',
    stderr: '',
  })
  const [listed, unsorted] = await theirs(viaduct, ['-Ln', '-Ln --nosort'])
  t.equal(listed!.stdout.split('\n').length, lines.length + 4)
  t.ok((await ours(viaduct, '-Ln')).stdout === listed!.stdout, '-Ln')
  t.ok((await ours(viaduct, '-Ln --nosort')).stdout === unsorted!.stdout, '-Ln --nosort')
})

bothTest('ipvsadm: long options of lists, a list of one service, and names', async (t, sandbox) => {
  const { viaduct } = await pair(sandbox)
  const rules = [
    '-A -t 127.0.0.1:http -s rr',
    '-a -t 127.0.0.1:http -r 10.0.0.2:http -m -w 3 -x 20 -y 10',
    '-a -t 127.0.0.1:http -r 10.0.0.1:8080 -i --tun-type gue --tun-port 6080',
    '-A -t [2001:db8::1]:https -s wrr -p 60',
    '-a -t [2001:db8::1]:https -r [2001:db8::b]:https -m',
    '-a -t [2001:db8::1]:https -r [2001:db8::a]:https -m',
    '-A -u 127.0.0.1:domain -o',
    '-A -f 7 -s sh',
    '-a -f 7 -r 10.0.0.3 -g',
    '-A -f 7 -6',
  ]
  t.match(await ours(viaduct, { line: '-R', input: rules.join('\n') }), { exitCode: 0, stderr: '' })
  states.add(await stateOf(viaduct))
  const kinds = ['', '--stats', '--rate', '--thresholds', '--persistent-conn', '--tun-info']
  const orders = ['', '--sort', '--nosort']
  const services = [
    '-t 127.0.0.1:80',
    '--tcp-service [2001:db8::1]:https',
    '-u 127.0.0.1:53',
    '-f 7',
    '-f 7 -6',
  ]
  const lines = [
    ...kinds.flatMap((kind) => orders.map((order) => `--list --numeric ${kind} ${order}`)),
    ...services.flatMap((service) => [
      `-L ${service}`,
      `-Ln ${service} --stats`,
      `--list --numeric ${service}`,
    ]),
    ...['--list', '--list --sort', '--list --exact --stats', '--list --timeout', '--list --daemon'],
    ...['--list --connection', '--list --connection --numeric --persistent-conn'],
    ...['--save', '-S', '--save --numeric'],
  ]
  await sameLists(t, viaduct, 'all of them', lines)
  t.match((await ours(viaduct, '-L -t 127.0.0.1:80')).stdout, /^TCP +localhost:http +rr$/m)
  t.notMatch((await ours(viaduct, '-L -t 127.0.0.1:80')).stdout, /^(UDP|FWM)/m, 'no other')
  t.match((await ours(viaduct, '-S')).stdout, /^-A -t localhost:http -s rr$/m)
  t.strictSame(await ours(viaduct, '--zero'), (await theirs(viaduct, ['--zero']))[0])
})

bothTest('ipvsadm: what is refused is refused with the same words and exit code', async (t, sandbox) => {
  const { debian, viaduct } = await pair(sandbox)
  const before = '-A -t 192.0.2.1:80\n-a -t 192.0.2.1:80 -r 10.0.0.1 -m\n-A -f 7\n'
  await theirs(debian, [{ line: '-R', input: before }])
  await theirs(viaduct, [{ line: '-R', input: before }])
  const server = '-a -t 192.0.2.1:80 -r 10.0.0.2'
  const lines: readonly string[] = [
    '-A -t 192.0.2.1:80',
    '-A -t 192.0.2.2:80 -s nonsense',
    '-A -t 192.0.2.2:80 -p --pe nonsense',
    '-A -t 192.0.2.2:80 --pe sip',
    '-A -f 7',
    '-E -t 192.0.2.2:80',
    '-E -t 192.0.2.1:80 -s nonsense',
    '-D -t 192.0.2.2:80',
    '-D -f 8',
    '-D -f 7 -6',
    '-L -t 192.0.2.2:80',
    '-Z -t 192.0.2.2:80',
    '-a -t 192.0.2.2:80 -r 10.0.0.1',
    '-a -t 192.0.2.1:80 -r 10.0.0.1 -m',
    '-a -t 192.0.2.1:80 -r 224.0.0.1 -m',
    '-a -t 192.0.2.1:80 -r 10.0.0.2 -m -x 3 -y 4',
    '-a -t 192.0.2.1:80 -r 10.0.0.2 -i --tun-type gue',
    '-e -t 192.0.2.1:80 -r 10.0.0.3 -m',
    '-d -t 192.0.2.1:80 -r 10.0.0.3',
    '-d -t 192.0.2.2:80 -r 10.0.0.3',
    '--stop-daemon master',
    '--stop-daemon backup --syncid 3',
    '--start-daemon master --mcast-interface nonsense',
    '--start-daemon nonsense',
    '--stop-daemon nonsense',
    '--start-daemon',
    '-v',
    '-q',
    '-n',
    '-t 192.0.2.1:80 -A',
    '--list=x',
    '-L -q',
    '-L --nonsense=3',
    '-L -nq',
    '-L -t',
    '-Ln=x',
    '-L --numeric=1',
    '-L -A',
    '-LA',
    '-L -t 192.0.2.1:80 --zero',
    '-L foo',
    '-L -- -n',
    '-L -',
    '-A',
    '-A -t 80',
    '-A -t 192.0.2.1:',
    '-A -t 192.0.2.1:65536',
    '-A -t 192.0.2.1:domain-of-nobody',
    '-A -t [2001:db8::1]',
    '-A -t [2001:db8::1]80',
    '-A -t 192.0.2.1',
    '-A -t 2001:db8::1',
    '-A -t [192.0.2.1]:80',
    '-A -t 192.0.2.1:80 -o',
    '-A -t 192.0.2.1:80 -t 192.0.2.1:81',
    '-A -f 0',
    '-A -f -1',
    '-A -f 4294967296',
    '-A -6 -f 1',
    '-A -t 192.0.2.1:81 -p 0',
    '-A -t 192.0.2.1:81 -p 2678401',
    '-A -t 192.0.2.1:81 -p rr',
    '-A -t [::1]:81 -p -M 129',
    '-A -t [::1]:81 -p -M x',
    '-A -t 192.0.2.1:81 -b nonsense',
    '-A -t 192.0.2.1:81 -b sh-port',
    '-A -t 192.0.2.1:81 -s mh -b sh-port',
    '-A -t 192.0.2.1:81 -n',
    '-A -t 192.0.2.1:81 -r 10.0.0.1',
    '-D -t 192.0.2.1:80 -s rr',
    '-C -n',
    '-a -t 192.0.2.1:80',
    '-a -r localhost:http -t 192.0.2.1:80',
    `${server} -w -1`,
    `${server} -w 2147483648`,
    `${server} -w 0x10`,
    `${server} -x many`,
    `${server} -y 2147483648`,
    `${server} -g -i`,
    `${server} --tun-type gre`,
    `${server} -i --tun-type vxlan`,
    `${server} -i --tun-type gue --tun-port 0`,
    `${server} -i --tun-port 1`,
    `${server} -i --tun-type gre --tun-remcsum`,
    `${server} -i --tun-type gre --tun-csum --tun-nocsum`,
    `${server} -i --tun-type gue --tun-port 1 --tun-csum --tun-remcsum`,
    '-a -t 192.0.2.1:80 -r [2001:db8::7]:80',
    '-d -t 192.0.2.1:80 -r 10.0.0.1 -w 1',
    '-L -c --timeout',
    '-L -c --stats',
    '-L -c -t 192.0.2.1:80',
    '-L --daemon --persistent-conn',
    '-L --timeout --rate',
    '-L -w 3',
    '-S --stats',
    '--set 1 2',
    '--set 1 2 3 4',
    '--set 1 2 2678401',
    '--set 1 -2 3',
    '--start-daemon master --syncid 256',
    '--start-daemon master --mcast-port 0',
    '--start-daemon master --mcast-ttl 256',
    '--start-daemon master --sync-maxlen 65508',
    '--start-daemon master --mcast-group 10.0.0.1',
    '--start-daemon master --mcast-group fe80::1',
    '--stop-daemon master --mcast-ttl 3',
  ]
  const outcomes = await theirs(debian, [...lines, '-Sn'])
  for (const [index, line] of lines.entries()) {
    t.strictSame(await ours(viaduct, line), outcomes[index], line)
  }
  t.equal((await ours(viaduct, '-Sn')).stdout, outcomes.at(-1)!.stdout, 'none of them changed anything')
})

bothTest('ipvsadm: sync daemons', async (t, sandbox) => {
  const net = await sandbox({
    hosts: ['debian', 'viaduct', 'other'],
    links: [['debian', 'viaduct', 'other']],
  })
  const { debian, viaduct } = net.hosts
  const name = viaduct.interfaces[0]!.device
  t.equal(debian.interfaces[0]!.device, name)
  const lines = [
    `--start-daemon master --mcast-interface ${name}`,
    `--start-daemon master --mcast-interface ${name}`,
    `--start-daemon backup --mcast-interface ${name} --syncid 7 --sync-maxlen 1400 --mcast-group 239.1.2.3 --mcast-port 9000 --mcast-ttl 5`,
    '--stop-daemon master',
    `--start-daemon master --mcast-interface ${name} --syncid 255 --mcast-group ff02::81`,
    '--stop-daemon backup',
    '--stop-daemon master',
  ]
  for (const line of lines) {
    const [done, daemons] = await theirs(debian, [line, '-L --daemon'])
    t.strictSame(await ours(viaduct, line), done, line)
    t.strictSame(await ours(viaduct, '-L --daemon'), daemons, `${line}: -L --daemon`)
    await sameLists(t, viaduct, line, ['--list --daemon'])
    states.add(await stateOf(viaduct))
  }
})

/** A list of connections with their times apart. */
function expiry(list: string): { text: string; seconds: number[] } {
  const seconds: number[] = []
  const text = list.replace(/(?<=^\w+ +)(\d\d):(\d\d)(?= )/gm, (_, minutes: string, rest: string) => {
    seconds.push(Number(minutes) * 60 + Number(rest))
    return 'mm:ss'
  })
  return { text, seconds }
}

bothTest('ipvsadm: connections and counters while traffic flows', async (t, sandbox) => {
  const [virtual, virtual6, port] = ['192.0.2.10', '2001:db8::10', 7000]
  const net = await sandbox({
    hosts: ['client', 'director', 'a', 'b'],
    links: [
      ['client', 'director'],
      ['director', 'a', 'b'],
    ],
    settings: { director: { addresses: [`${virtual}/32`, `${virtual6}/128`] } },
  })
  const { client, director, a, b } = net.hosts
  const rules =
    `-A -t ${virtual}:${port} -s rr\n` +
    `-a -t ${virtual}:${port} -r ${a.address} -m\n` +
    `-a -t ${virtual}:${port} -r ${b.address} -m\n` +
    `-A -t [${virtual6}]:${port} -s rr -p 100 -M 64\n` +
    `-a -t [${virtual6}]:${port} -r [${a.address6}]:${port} -m\n` +
    `-A -u ${virtual}:5060 -s rr -p 60 --pe sip\n`.repeat(
      (await isHere('ipvs-persistence-engine-sip')) ? 1 : 0,
    ) +
    `-a -u ${virtual}:5060 -r ${b.address} -m\n`.repeat((await isHere('ipvs-persistence-engine-sip')) ? 1 : 0)
  t.strictSame(await ours(director, { line: '-R', input: rules }), { exitCode: 0, stdout: '', stderr: '' })
  for (const server of [a, b]) {
    await server.serveTcp((socket) => void socket.on('error', () => undefined).write('x'.repeat(20_000)), {
      port,
    })
  }
  for (const address of [virtual, virtual, virtual, virtual6]) {
    const socket = await client.connect({ address, port })
    socket.on('error', () => undefined)
    await once(socket, 'data', { signal: AbortSignal.timeout(10_000) })
  }
  const udp = await client.udp()
  udp.send('INVITE sip:b@example SIP/2.0\r\nCall-ID: a84b4c76e66710@pc33.example\r\n\r\n', 5060, virtual)
  udp.send('hello', 5060, virtual)

  // Newer kernels sum up what each processor counted only when they estimate rates, every two seconds.
  await until('the kernel has counted what was carried', async () => {
    const { stdout } = await ours(director, '-Ln --stats')
    const { connections, outgoingBytes } = readTotals({ netns: director.netns })
    return /192\.0\.2\.10:7000 +3 /.test(stdout) && connections >= 4n && outgoingBytes > 80_000n
  })
  const lines = [
    '-Lcn',
    '-Lc',
    '-Lcn --persistent-conn',
    '-Ln --stats',
    '-Ln --stats --exact',
    '-Ln --rate',
    '-Ln',
    '-Ln --persistent-conn',
    '--list --connection --numeric',
    '--list --numeric --stats --exact',
    '--list --numeric --rate --sort',
    `-Ln -t ${virtual}:${port} --stats`,
    `-Ln -t [${virtual6}]:${port} --persistent-conn`,
  ]
  const seen = new Map<string, string>()
  for (const line of lines) {
    // Time goes on between two calls: ours is the one in the middle, and theirs must be alike but for the seconds.
    const [before, outcome, after] = await until(`${line} stands still`, async () => {
      const [before] = await theirs(director, [line])
      const found = await ours(director, line)
      const [after] = await theirs(director, [line])
      const same = expiry(before!.stdout).text === expiry(after!.stdout).text
      return same ? ([before!, found, after!] as const) : undefined
    })
    const found = expiry(outcome.stdout)
    t.strictSame(
      { ...outcome, stdout: found.text },
      { exitCode: 0, stdout: expiry(after.stdout).text, stderr: '' },
      line,
    )
    const [most, least] = [expiry(before.stdout).seconds, expiry(after.stdout).seconds]
    for (const [index, seconds] of found.seconds.entries()) {
      t.ok(least[index]! <= seconds && seconds <= most[index]!, `${line}: ${seconds} s`)
    }
    seen.set(line, outcome.stdout)
  }
  t.match(
    seen.get('-Lcn'),
    /^TCP 1[45]:\d\d {2}ESTABLISHED 10\.0\.1\.\d+:\d+ +192\.0\.2\.10:7000 +10\.0\.2\.\d+:7000$/m,
  )
  t.match(seen.get('-Lcn'), /\[2001:db8::10\]:7000/)
  t.match(seen.get('-Ln --persistent-conn'), / 1 +1 +1 +0 /, 'a template is counted')
  t.notMatch(seen.get('-Ln --stats'), /192\.0\.2\.10:7000 +0 /, 'something was counted')
  if (await isHere('ipvs-persistence-engine-sip')) {
    t.match(seen.get('-Lcn --persistent-conn'), /sip +a84b4c76e66710/)
  }
  const totals = readTotals({ netns: director.netns })
  t.ok(totals.connections >= 4n, `${totals.connections} connections in all`)
  t.ok(totals.outgoingBytes > 80_000n, `${totals.outgoingBytes} bytes in all`)
  const [zeroed] = await theirs(director, ['-Ln --stats'])
  t.strictSame(await ours(director, `-Z -t ${virtual}:${port}`), { exitCode: 0, stdout: '', stderr: '' })
  const { stdout } = await ours(director, '-Ln --stats')
  t.not(stdout, zeroed!.stdout)
  t.match(stdout, /192\.0\.2\.10:7000 +0 +0 +0 +0 +0\n/)
  const six = /\[2001:db8::10\]:7000(?: +\d+)*\n/
  t.equal(six.exec(stdout)?.[0], six.exec(zeroed!.stdout)?.[0], 'the others keep theirs')
  t.strictSame(await ours(director, '-Z'), { exitCode: 0, stdout: '', stderr: '' })
  const [ofAll] = await theirs(director, ['-Ln --stats'])
  t.strictSame(await ours(director, '-Ln --stats'), ofAll)
  t.notMatch(ofAll!.stdout, /:\d+ +(?:0 +)*[1-9]/, 'nobody keeps any')
  t.equal(readTotals({ netns: director.netns }).connections, 0n)
  states.add(await stateOf(director))
})

bothTest('ipvsadm: what -S writes, -R reads, with thresholds, by either program', async (t, sandbox) => {
  const { debian, viaduct } = await pair(sandbox)
  const rules = [
    '-A -f 4294967295 -6 -s sh -p 360 -b sh-fallback,flag-3',
    '-A -t 192.0.2.1:80 -s wlc',
    '-a -t 192.0.2.1:80 -r 10.0.0.1:80 -g -w 65536',
    '-a -t 192.0.2.1:80 -r 10.0.0.2:8080 -m -w 1 -x 100 -y 50',
    '-a -t 192.0.2.1:80 -r 10.0.0.3:80 -i -w 1 --tun-type gue --tun-port 6080 --tun-csum -x 7',
    '-A -t [2001:db8::1]:80 -s rr -p 60 -M 64 -b flag-1',
    '-a -t [2001:db8::1]:80 -r [2001:db8::a]:80 -g -w 0',
  ]
  const text = `${rules.join('\n')}\n`
  t.strictSame(await ours(viaduct, { line: '-R', input: text }), { exitCode: 0, stdout: '', stderr: '' })
  t.strictSame(await ours(viaduct, '-S -n'), { exitCode: 0, stdout: text, stderr: '' })
  const [restored, saved, thresholds] = await theirs(debian, [
    { line: '-R', input: text },
    '-Sn',
    '-Ln --thresholds',
  ])
  t.strictSame(restored, { exitCode: 0, stdout: '', stderr: '' }, "Debian's reads it too")
  t.equal(saved!.stdout, debianRules(text))
  t.equal((await ours(viaduct, '-Ln --thresholds')).stdout, thresholds!.stdout)

  // By names, which the C library gives back for both.
  t.strictSame(await ours(viaduct, { line: '-R', input: '-C\n-A -t localhost:http -s rr\n' }), {
    exitCode: 0,
    stdout: '',
    stderr: '',
  })
  const named = await ours(viaduct, '-S')
  t.equal(named.stdout, '-A -t localhost:http -s rr\n')
  t.strictSame(await ours(viaduct, { line: '-R', input: `-C\n${named.stdout}` }), {
    exitCode: 0,
    stdout: '',
    stderr: '',
  })
})

bothTest('ipvsadm: -R tells of every bad line and applies the others', async (t, sandbox) => {
  const { debian, viaduct } = await pair(sandbox)
  const good: string[] = []
  const input: string[] = []
  const bad: string[] = []
  for (let index = 0; index < 3000; index++) {
    const line =
      index === 0 ? '-A -t 192.0.2.1:80 -s rr' : `-a -t 192.0.2.1:80 -r 10.0.${index >> 8}.${index & 255} -m`
    good.push(line)
    input.push(line)
    if (index % 100 === 7) {
      input.push(index % 200 === 7 ? line : `${line} -w many`)
      const message = index % 200 === 7 ? 'Destination already exists' : 'illegal weight specified'
      bad.push(`line ${input.length}: ${message} (${input.at(-1)!})\n`)
    }
  }
  await theirs(debian, [{ line: '-R', input: good.join('\n') }])
  const outcome = await ours(viaduct, { line: '-R', input: input.join('\n') })
  t.equal(outcome.stderr, bad.join(''))
  t.equal(outcome.exitCode, 255)
  const [expected] = await theirs(debian, ['-Ln'])
  t.ok((await ours(viaduct, '-Ln')).stdout === expected!.stdout)
})

void t.test('ipvsadm: as many states were compared as were promised', async (t) => {
  t.ok(states.size >= leastStates, `${states.size} states, at least ${leastStates}`)
})
