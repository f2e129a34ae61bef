/** Files of packet flows as they are read, the network that they take, and the command that runs them. */
import t from 'tap'
import { planNetwork } from '../conformance/plan.js'
import { readSituations } from '../conformance/situation.js'

const config = {
  family: 'IPv4',
  nodeName: 'n',
  nodeIP: '192.168.0.2',
  nodeAddresses: ['192.168.0.2', '2001:db8:0::1'],
  clusterCIDR: null,
  serviceCIDRs: '172.30.0.0/16',
  nodePortAddresses: [],
}
const packet = {
  name: 'p',
  from: '10.0.0.2',
  to: '172.30.0.41',
  port: 80,
  protocol: 'tcp',
  outcome: 'endpoints',
  endpoints: ['10.180.0.1:80'],
  masquerade: true,
}
const service = { metadata: { name: 's', namespace: 'ns' }, spec: { clusterIP: '172.30.0.41' } }
const fileOf = (...situations: object[]): string =>
  JSON.stringify(situations.map((one) => ({ name: 'S', config, packets: [packet], ...one })))

t.test('what is left out or null is as if nothing was said; addresses have one spelling', (t) => {
  const [[situation]] = readSituations(fileOf({ services: [service] })) as [
    [ReturnType<typeof readSituations>[0][0]],
  ]
  t.same(situation?.node, {
    name: 'n',
    addresses: ['192.168.0.2', '2001:db8::1'],
    clusterRanges: [],
    serviceRanges: ['172.30.0.0/16'],
    nodePortAddresses: undefined,
    masqueradeAll: false,
  })
  t.same(situation?.objects, [{ ...service, kind: 'Service' }])
  const ranges = { ...config, clusterCIDR: '10.0.0.0/8, fd00:10::/64', serviceCIDRs: ['172.30.0.0/16'] }
  t.same(readSituations(fileOf({ config: ranges }))[0]?.[0]?.node.clusterRanges, [
    '10.0.0.0/8',
    'fd00:10::/64',
  ])
  t.end()
})

t.test('steps follow each other on one node; another node begins anew', (t) => {
  const other = { ...config, masqueradeAll: true }
  const groups = readSituations(
    fileOf({}, { name: 'S (step 2)' }, { name: 'S (step 3)', config: other }, { name: 'T' }),
  )
  t.same(
    groups.map((group) => group.map(({ name }) => name)),
    [['S', 'S (step 2)'], ['S (step 3)'], ['T']],
  )
  t.end()
})

t.test('what cannot be meant is told with its place', (t) => {
  const refused: readonly [string, RegExp][] = [
    ['{', /^the file: expected JSON/],
    ['{}', /^the file: expected a list of situations/],
    ['[]', /^the file: expected a list of situations/],
    ['[1]', /^\[0\]: expected an object/],
    [fileOf({ packets: [] }), /^the file: expected a packet at least/],
    [fileOf({ config: { ...config, nodeIP: 'x' } }), /^\[0\]\.config\.nodeIP: expected an IP address/],
    [
      fileOf({ config: { ...config, serviceCIDRs: '172.30.0.0/40' } }),
      /serviceCIDRs\[0\]: expected a prefix/,
    ],
    [fileOf({ services: [7] }), /^\[0\]\.services\[0\]: expected an object/],
    [fileOf({ packets: [{ ...packet, port: 0 }] }), /packets\[0\]\.port: expected an integer from 1/],
    [fileOf({ packets: [{ ...packet, protocol: 'icmp' }] }), /protocol: expected tcp, udp or sctp/],
    [
      fileOf({ packets: [{ ...packet, outcome: 'lost' }] }),
      /outcome: expected endpoints, reject, drop or none/,
    ],
    [fileOf({ packets: [{ ...packet, endpoints: [] }] }), /endpoints: expected an endpoint at least/],
    [fileOf({ packets: [{ ...packet, endpoints: ['::1:80'] }] }), /endpoints\[0\]: expected ip:port/],
    [fileOf({ packets: [{ ...packet, to: '::1' }] }), /to: expected an address of the family of 10\.0\.0\.2/],
  ]
  for (const [text, told] of refused)
    t.throws(() => readSituations(text), { message: told }, text.slice(0, 60))
  t.end()
})

t.test('every address has a host; who only sends answers nobody', (t) => {
  const packets = [
    packet,
    { ...packet, name: 'hairpin', from: '10.180.0.1' },
    { ...packet, name: 'node', from: '192.168.0.2' },
    { ...packet, name: 'own', from: '1.2.3.4', to: '1.2.3.4' },
    { ...packet, name: 'loopback', from: '10.0.0.2', to: '127.0.0.1', outcome: 'none' },
  ]
  const plan = planNetwork(readSituations(fileOf({ packets }))[0]!)
  t.equal(plan.hostOf('10.180.0.1'), 'pod 10.180.0.1')
  t.equal(plan.hostOf('10.0.0.2'), 'outside')
  t.equal(plan.hostOf('172.30.0.41'), 'world')
  t.equal(plan.hostOf('1.2.3.4'), 'node', 'only the node can send from where it sends to')
  t.equal(plan.hostOf('127.0.0.1'), 'node')
  t.notOk(plan.nodeAddresses.includes('1.2.3.4'), 'and a dataplane is not told of it')
  t.ok(plan.listeners.some(({ host, address }) => host === 'outside' && address === '127.0.0.1'))
  t.end()
})

t.test('more sources are of the same kind, and nobody else', (t) => {
  const sticky = {
    metadata: { name: 's', namespace: 'ns' },
    spec: {
      clusterIP: '172.30.0.41',
      sessionAffinity: 'ClientIP',
      ports: [{ port: 80, nodePort: 3001 }],
      loadBalancerSourceRanges: ['10.0.0.0/29 '],
    },
  }
  const packets = [packet, { ...packet, name: 'taken', to: '10.0.0.4' }]
  const plan = planNetwork(readSituations(fileOf({ services: [sticky], packets }))[0]!)
  const [first, second] = readSituations(fileOf({ packets }))[0]![0]!.packets
  t.same(plan.sourcesOf(first!), ['10.0.0.2', '10.0.0.3', '10.0.0.5', '10.0.0.6', '10.0.0.7'])
  t.same(plan.sourcesOf(second!), ['10.0.0.2'], 'of a packet that is for no service with affinity')
  t.end()
})

t.test('the command: what is wrong with its arguments is said', async (t) => {
  const place = new URL('../../../scripts/conformance.mjs', import.meta.url).href
  const { parseArguments } = (await import(place)) as {
    parseArguments: (args: readonly string[]) => object | string
  }
  t.same(parseArguments(['f.json', '--dataplane', 'nftables']), {
    file: 'f.json',
    dataplane: 'nftables',
    kernel: undefined,
  })
  t.same(parseArguments(['--dataplane=ipvs', '--kernel=6.1', 'f.json']), {
    file: 'f.json',
    dataplane: 'ipvs',
    kernel: '6.1',
  })
  t.match(parseArguments(['--dataplane', 'ipvs']), /FILE\.json is missing/)
  t.match(parseArguments(['a', 'b', '--dataplane', 'ipvs']), /one file at a time/)
  t.match(parseArguments(['a']), /--dataplane is missing/)
  t.match(parseArguments(['a', '--dataplane', 'iptables']), /takes nftables or ipvs, not iptables/)
  t.match(parseArguments(['a', '--dataplane']), /takes nftables or ipvs, not nothing/)
  t.match(parseArguments(['a', '--dataplane', 'ipvs', '--kernel', '5.10']), /--kernel takes 6\.1 or/)
  t.match(parseArguments(['a', '--quick']), /unknown option --quick/)
  t.match(parseArguments(['a', '-x']), /unknown option -x/)
})
