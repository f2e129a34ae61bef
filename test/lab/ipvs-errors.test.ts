/** Every error that IPVS answers is provoked, and says what to do. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { attributesAt, GenericFamily } from '../../src/genetlink/index.js'
import {
  type DestinationInput,
  Ipvs,
  isKernelError,
  type KernelError,
  type ServiceKey,
} from '../../src/index.js'
import { command, IPVS_GENL_NAME, IPVS_GENL_VERSION, top } from '../../src/ipvs/wire.js'
import {
  Connection,
  forEachMessage,
  NETLINK_GENERIC,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_REQUEST,
  openSocket,
  readAcknowledgement,
  viewOf,
  Writer,
} from '../../src/netlink/index.js'
import { type Netns, NetworkNamespace } from '../../src/net/index.js'
import { ipvsTest } from './ipvs-test.js'

const web: ServiceKey = { protocol: 'tcp', address: '10.0.0.1', port: 80 }
const absent: ServiceKey = { ...web, port: 99 }
const server: DestinationInput = { address: '10.9.0.1' }

async function failure(promise: Promise<unknown>): Promise<KernelError> {
  try {
    await promise
  } catch (error) {
    if (isKernelError(error)) return error
    throw error
  }
  throw new Error('it succeeded')
}

/** Commands as bytes, past everything that the client refuses. */
async function rawFamily(netns: Netns): Promise<{ connection: Connection; family: GenericFamily }> {
  const connection = new Connection(openSocket({ protocol: NETLINK_GENERIC, netns }))
  return { connection, family: await GenericFamily.open(connection, IPVS_GENL_NAME, IPVS_GENL_VERSION) }
}

ipvsTest('EEXIST, ESRCH and ENOENT say what is there and what is not', async (t, sandbox) => {
  const { director } = (await sandbox({ hosts: ['director'] })).hosts
  await using ipvs = await Ipvs.open({ netns: director.netns })
  await ipvs.createService(web)
  await ipvs.createDestination(web, server)
  const cases: [Promise<unknown>, string, RegExp][] = [
    [ipvs.createService(web), 'EEXIST', /ipvs\.createService .*port=80.*there already/],
    [ipvs.createDestination(web, server), 'EEXIST', /ipvs\.createDestination .*10\.9\.0\.1.*there already/],
    [ipvs.setService(absent), 'ESRCH', /no such virtual service/],
    [ipvs.deleteService(absent), 'ESRCH', /no such virtual service/],
    [ipvs.createDestination(absent, server), 'ESRCH', /create it first/],
    [ipvs.setDestination(absent, server), 'ESRCH', /create it first/],
    [ipvs.deleteDestination(absent, server), 'ESRCH', /create it first/],
    [ipvs.destinations(absent), 'ESRCH', /no such virtual service/],
    [ipvs.setDestination(web, { address: '10.9.0.2' }), 'ENOENT', /no such destination/],
    [ipvs.deleteDestination(web, { address: '10.9.0.2' }), 'ENOENT', /no such destination/],
    [ipvs.createService({ ...absent, scheduler: 'nosuch' }), 'ENOENT', /ip_vs_<scheduler>/],
    [
      ipvs.createService({ ...absent, persistenceTimeoutSeconds: 9, persistenceEngine: 'nosuch' }),
      'ENOENT',
      /persistence engine/,
    ],
  ]
  // They fail in their order, some after a turn of the event loop.
  await Promise.allSettled(cases.map(([promise]) => promise))
  for (const [promise, code, message] of cases) {
    const error = await failure(promise)
    t.equal(error.code, code)
    t.match(error.message, message)
    t.ok(error.errno < 0)
  }
})

ipvsTest('EINVAL and ERANGE: what is refused here is refused by the kernel, too', async (t, sandbox) => {
  const { director } = (await sandbox({ hosts: ['director'] })).hosts
  await using ipvs = await Ipvs.open({ netns: director.netns })
  await ipvs.createService(web)
  const { connection, family } = await rawFamily(director.netns)
  const send = (number: number, record: object): Promise<KernelError> =>
    failure(family.execute({ operation: 'raw', command: number, attributes: top, record }))
  const key = { family: 'ipv4', protocol: 'tcp', address: '10.0.0.1', port: 80 }
  const full = {
    address: '10.9.0.1',
    port: 80,
    family: 'ipv4',
    forwardingMethod: 'masquerade',
    weight: 1,
    upperThreshold: 0,
    lowerThreshold: 0,
  }
  const newService = {
    ...key,
    port: 81,
    scheduler: 'rr',
    flags: { flags: 0, mask: 0 },
    persistenceTimeoutSeconds: 0,
    persistenceNetmask: 32,
  }
  const v6 = { ...newService, family: 'ipv6', address: '2001:db8::1' }
  const cases: [string, number, object, string][] = [
    ['no service', command.newService, {}, 'EINVAL'],
    ['no scheduler', command.newService, { service: { ...newService, scheduler: undefined } }, 'EINVAL'],
    [
      'no weight',
      command.newDestination,
      { service: key, destination: { ...full, weight: undefined } },
      'EINVAL',
    ],
    [
      'an IPv6 netmask of 0',
      command.newService,
      { service: { ...v6, persistenceNetmask: undefined, unknown: [{ type: 9, bytes: new Uint8Array(4) }] } },
      'EINVAL',
    ],
    [
      'a multicast destination',
      command.newDestination,
      { service: key, destination: { ...full, address: '224.0.0.1' } },
      'EINVAL',
    ],
    [
      'GUE without a port',
      command.newDestination,
      {
        service: key,
        destination: { ...full, forwardingMethod: 'tunnel', tunnelType: 'gue', tunnelPort: 0 },
      },
      'EINVAL',
    ],
    [
      'mixed families without a tunnel',
      command.newDestination,
      { service: key, destination: { ...full, address: '2001:db8::7', family: 'ipv6' } },
      'EINVAL',
    ],
    [
      'a negative weight',
      command.newDestination,
      { service: key, destination: { ...full, weight: 0xffff_ffff } },
      'ERANGE',
    ],
    [
      'a lower threshold above the upper',
      command.newDestination,
      { service: key, destination: { ...full, upperThreshold: 1, lowerThreshold: 2 } },
      'ERANGE',
    ],
    ['another family', command.newService, { service: { ...newService, family: '99' } }, 'EAFNOSUPPORT'],
    ['an unknown command', 99, {}, 'EOPNOTSUPP'],
    ['GET_DEST without a dump', command.getDestination, { service: key }, 'EOPNOTSUPP'],
  ]
  for (const [name, number, record, code] of cases) t.equal((await send(number, record)).code, code, name)

  const length = await send(command.setConfig, { unknown: [{ type: 4, bytes: new Uint8Array(1) }] })
  t.equal(length.code, 'ERANGE', 'a top-level attribute of a wrong length')
  t.ok(length.kernelMessage, `the kernel says: ${length.kernelMessage}`)
  t.equal(length.attribute?.path, 'tcpTimeoutSeconds', 'and where, which becomes a path')

  await ipvs.createDestination(web, { address: '2001:db8::7', forwardingMethod: 'tunnel' })
  const daemon = await failure(ipvs.startDaemon({ state: 'master', interface: 'lo' }))
  t.match(
    daemon,
    { code: 'EINVAL', operation: 'ipvs.startDaemon', hint: /other family/ },
    'a daemon beside mixed families',
  )
  connection.close()
})

ipvsTest('a namespace whose lo is down refuses destinations, and the hint says so', async (t) => {
  const netns = NetworkNamespace.create()
  const ipvs = await Ipvs.open({ netns })
  await ipvs.createService(web)
  t.match(await failure(ipvs.createDestination(web, server)), { code: 'EINVAL', hint: /lo must be up/ })
  ipvs.close()
  netns.close()
})

ipvsTest('EBUSY: a socket runs one dump at a time', async (t, sandbox) => {
  const { director } = (await sandbox({ hosts: ['director'] })).hosts
  await using ipvs = await Ipvs.open({ netns: director.netns })
  await ipvs.createService(web)
  const transport = openSocket({ protocol: NETLINK_GENERIC, netns: director.netns })
  const { connection, family } = await rawFamily(director.netns)
  const writer = new Writer()
  for (const sequence of [1, 2]) {
    const start = writer.beginMessage(
      family.id,
      NLM_F_REQUEST | NLM_F_DUMP | (sequence === 2 ? NLM_F_ACK : 0),
      sequence,
    )
    writer.append(Uint8Array.of(command.getService, IPVS_GENL_VERSION, 0, 0))
    writer.endMessage(start)
  }
  t.equal(writer.length, 2 * attributesAt)
  const { bytes } = await transport.exchange(writer.bytes, writer.length, 'batch', 5000)
  const errors: number[] = []
  forEachMessage(bytes, viewOf(bytes), (type, flags, sequence, offset, end) => {
    if (sequence === 2) errors.push(readAcknowledgement(bytes, viewOf(bytes), type, flags, offset, end).errno)
  })
  t.same(errors, [-16])
  transport.close()
  connection.close()

  // The client puts them in order, however many are asked for at once.
  const lists = await Promise.all(Array.from({ length: 8 }, () => ipvs.services()))
  t.same(
    lists.map((list) => list.length),
    Array<number>(8).fill(1),
  )
})

ipvsTest('EPERM: a user namespace of its own does not suffice', async (t) => {
  const script = `
    import { Ipvs } from ${JSON.stringify(new URL('../../src/index.js', import.meta.url).href)}
    const ipvs = await Ipvs.open()
    await ipvs.createService({ protocol: 'tcp', address: '10.0.0.1', port: 80 }).catch((error) => console.log(error.code + ' ' + error.hint))
    await ipvs.services().catch((error) => console.log(error.code))
    ipvs.close()`
  const { stdout } = await promisify(execFile)('unshare', [
    '--user',
    '--map-root-user',
    '--net',
    process.execPath,
    '--input-type=module',
    '-e',
    script,
  ])
  t.match(stdout, /^EPERM .*initial user namespace/)
})
