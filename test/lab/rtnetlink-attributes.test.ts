/** Every attribute of rtnetlink that can be written is written, and a kernel says it again. The samples: support/. */
import { execFileSync } from 'node:child_process'
import type { Test } from 'tap'
import {
  type AttributeTable,
  Connection,
  NETLINK_ROUTE,
  NLM_F_CREATE,
  openSocket,
  type ReadReply,
  type Request,
} from '../../src/netlink/index.js'
import { type NeighbourInput, Rtnetlink, type RuleInput } from '../../src/rtnetlink/index.js'
import { addressHeader, linkHeader, routeHeader } from '../../src/rtnetlink/headers.js'
import { createOnly, Requests } from '../../src/rtnetlink/requests.js'
import { kinds, type LinkKind } from '../../src/rtnetlink/kinds.js'
import { address, link, message, route, tables } from '../../src/rtnetlink/wire.js'
import { writeFile } from '../../src/net/index.js'
import type { Host } from '../../src/testing/index.js'
import { kernelTest } from '../kernel/kernel-test.js'
import {
  asGiven,
  index,
  knownHere,
  linkOf,
  nextHopObject,
  otherNamespace,
  samples,
} from './support/rtnetlink-samples.js'

const timeoutSeconds = 300
const links: readonly LinkKind[] = ['dummy', 'ipip', 'sit', 'ip6tnl', 'gre', 'ip6gre']
// Debian's user-mode Linux has neither fou's sending side (CONFIG_NET_FOU_IP_TUNNELS) nor every kind of link.
const isUml = process.env['VIADUCT_LAB'] === 'uml'

/** A table's samples, each through the kernel; nothing that is said to be unsaid may be said. */
async function roundTrip<K extends keyof typeof samples>(
  t: Test,
  name: K,
  through: (record: (typeof samples)[K]['records'][number]) => Promise<object | undefined>,
): Promise<void> {
  const { records, unsaid = {} } = samples[name]
  for (const whole of records) {
    const record = knownHere(tables[name], whole)
    if (isUml && Object.hasOwn(record, 'encapsulation') && name !== 'fou') continue
    const read = await through(record)
    t.strictSame(asGiven(read, record), record, `${name}: ${Object.keys(record).join(', ')}`)
    for (const key of Object.keys(unsaid)) {
      t.equal((read as Record<string, unknown> | undefined)?.[key], undefined, `${name}.${key} is not said`)
    }
  }
}

/** Messages as they are, for what the clients have no words for. */
class Raw {
  readonly connection: Connection
  readonly #requests: Requests

  constructor(host: Host) {
    this.connection = new Connection(openSocket({ protocol: NETLINK_ROUTE, netns: host.netns }))
    this.#requests = new Requests(this.connection)
  }

  async newLink(record: object, at: number, isNew: boolean): Promise<void> {
    await this.#requests.execute({
      operation: 'test.newLink',
      object: record,
      type: message.newLink,
      flags: isNew ? createOnly : 0,
      header: linkHeader,
      head: { index: at },
      table: link,
      record,
      path: 'link',
    })
  }

  async link(record: object, at?: number): Promise<Record<string, unknown>> {
    const [read] = await this.#requests.query(
      {
        operation: 'test.getLink',
        object: record,
        type: message.getLink,
        header: linkHeader,
        head: { index: at },
        table: link,
        record,
        path: 'link',
      },
      reader(link, linkHeader.bytes, message.newLink),
    )
    return read!
  }

  async newAddress(record: { readonly local?: string | undefined }): Promise<void> {
    await this.#requests.execute({
      operation: 'test.newAddress',
      object: record,
      type: message.newAddress,
      flags: createOnly,
      header: addressHeader,
      head: { family: familyOf(record.local), prefixLength: 24, index: index.dummy },
      table: address,
      record,
      path: 'address',
    })
  }

  addresses(family: 'ipv4' | 'ipv6'): Promise<Record<string, unknown>[]> {
    return this.#requests.dump(
      {
        operation: 'test.getAddress',
        object: undefined,
        type: message.getAddress,
        header: addressHeader,
        head: { family },
        table: address,
        record: {},
        path: 'address',
      },
      reader(address, addressHeader.bytes, message.newAddress),
    )
  }

  async newRoute(record: {
    readonly destination?: string | undefined
    readonly from?: string | undefined
    readonly nextHopId?: number | undefined
  }): Promise<void> {
    const family = familyOf(record.destination)
    await this.#requests.execute({
      operation: 'test.newRoute',
      object: record,
      type: message.newRoute,
      flags: createOnly,
      header: routeHeader,
      head: {
        family,
        destinationLength: family === 'ipv4' ? 16 : 48,
        fromLength: record.from === undefined ? 0 : 48,
        protocol: 'static',
        type: 'unicast',
      },
      table: route,
      record,
      path: 'route',
    })
  }

  routes(family: 'ipv4' | 'ipv6'): Promise<Record<string, unknown>[]> {
    return this.#requests.dump(
      {
        operation: 'test.getRoutes',
        object: undefined,
        type: message.getRoute,
        header: routeHeader,
        head: { family },
        table: route,
        record: {},
        path: 'route',
      },
      reader(route, routeHeader.bytes, message.newRoute),
    )
  }

  /** The way that a packet would go. */
  async way(record: object): Promise<Record<string, unknown> | undefined> {
    const [found] = await this.#requests.query(
      {
        operation: 'test.getRoute',
        object: record,
        type: message.getRoute,
        header: routeHeader,
        head: { family: 'ipv4', destinationLength: 32, fromLength: 32 },
        table: route,
        record,
        path: 'route',
      },
      reader(route, routeHeader.bytes, message.newRoute),
    )
    return found
  }

  /** A message that no table describes: its fixed header, and attributes of four bytes. */
  async other(type: number, head: readonly number[], attributes: Readonly<Record<number, number>>) {
    const request: Request = {
      operation: 'test.other',
      write(writer, flags, sequence) {
        const start = writer.beginMessage(type, flags | NLM_F_CREATE, sequence)
        writer.append(Uint8Array.from(head))
        for (const [number, value] of Object.entries(attributes)) {
          const attribute = writer.beginAttribute(Number(number))
          writer.u32(value)
          writer.endAttribute(attribute)
        }
        writer.endMessage(start)
      },
    }
    await this.connection.execute(request)
  }
}

function reader(table: AttributeTable, at: number, wanted: number): ReadReply<Record<string, unknown>> {
  return (bytes, view, offset, end, type) =>
    type === wanted ? (table.decode(bytes, view, offset + at, end) as Record<string, unknown>) : undefined
}

function familyOf(text: string | undefined): 'ipv4' | 'ipv6' {
  return text?.includes(':') === true ? 'ipv6' : 'ipv4'
}

const RTM_NEWNSID = 88
const NETNSA_NSID = 1
const NETNSA_FD = 3
const RTM_NEWNEXTHOP = 104
const NHA_ID = 1
const NHA_OIF = 5

kernelTest('every attribute of a link', { needs: { links }, timeoutSeconds }, async (t, sandbox) => {
  const { one, two } = (await sandbox({ hosts: ['one', 'two'] })).hosts
  const raw = new Raw(one)
  try {
    await raw.other(RTM_NEWNSID, [0, 0, 0, 0], { [NETNSA_NSID]: otherNamespace, [NETNSA_FD]: two.netns.fd })
    await raw.newLink({ name: 'master', info: { kind: 'bridge' } }, index.bridge, true)
    await raw.newLink({ name: 'below', info: { kind: 'dummy' } }, index.dummy, true)
    const later = ['alias', 'carrier', 'families', 'master', 'protocolDown']
    let at: number = index.dummy
    await roundTrip(t, 'link', async (record) => {
      const parts = Object.entries(record)
      const first = Object.fromEntries(parts.filter(([key]) => !later.includes(key)))
      const then = Object.fromEntries(parts.filter(([key]) => later.includes(key)))
      await raw.newLink(first, ++at, true)
      await raw.newLink(then, at, false)
      return raw.link({}, at)
    })
    await roundTrip(t, 'linkInfo', async (info) => {
      await raw.newLink({ name: 'informed', info }, ++at, true)
      return (await raw.link({}, at))['info'] as object
    })
    await roundTrip(t, 'peer', async (peer) => {
      await raw.newLink(
        { name: 'left', info: { kind: 'veth', data: { peer: { ...peer, name: 'right' } } } },
        ++at,
        true,
      )
      return { ...(await raw.link({ name: 'right' })), name: peer.name }
    })
    const { statistics } = await raw.link({ extendedMask: ['skip-statistics'] }, 1)
    // Older kernels (6.1) take the mask, and tell them all the same.
    if (process.env['VIADUCT_LAB'] === 'newest') t.equal(statistics, undefined, 'left out as asked')
    t.ok((await raw.link({}, 1))['statistics'])

    // By one of its processes: this one is in the namespace that the test was begun in.
    await using here = await Rtnetlink.open()
    for (const record of [
      { name: 'vd-pid', info: { kind: 'dummy' }, netnsPid: process.pid },
      { name: 'vd-fd', info: { kind: 'dummy' }, netnsFd: two.netns.fd },
    ]) {
      await raw.newLink(record, ++at, true)
      t.equal(await one.rtnetlink.links.find(record.name), undefined)
    }
    t.ok(await two.rtnetlink.links.find('vd-fd'))
    t.ok(await here.links.find('vd-pid'))
    await here.links.delete('vd-pid')
  } finally {
    raw.connection.close()
  }
})

kernelTest('every attribute that a link has for IPv6', { timeoutSeconds }, async (t, sandbox) => {
  const { one } = (await sandbox({ hosts: ['one', 'two'], links: [['one', 'two']] })).hosts
  const raw = new Raw(one)
  try {
    writeFile('/proc/sys/net/ipv6/conf/eth0/accept_ra', '1', { netns: one.netns })
    const { index: eth0 } = await one.rtnetlink.links.get('eth0')
    const throughFamilies = async (families: object): Promise<Record<string, unknown>> => {
      await raw.newLink({ families }, eth0, false)
      return (await raw.link({}, eth0))['families'] as Record<string, unknown>
    }
    await roundTrip(t, 'linkFamilies', throughFamilies)
    await roundTrip(t, 'linkIpv6', async (ipv6) => (await throughFamilies({ ipv6 }))['ipv6'] as object)
  } finally {
    raw.connection.close()
  }
})

for (const kind of Object.keys(kinds) as LinkKind[]) {
  if (samples[kind].records.length === 0) continue
  kernelTest(
    `every attribute of ${kind}`,
    { needs: { links: [kind] }, timeoutSeconds },
    async (t, sandbox) => {
      // Without it a bridge neither takes nor tells whether it calls iptables; within gue, a tunnel needs its module.
      if (!isUml) for (const module of ['br_netfilter', 'fou', 'fou6']) execFileSync('modprobe', [module])
      const { one } = (await sandbox({ hosts: ['one', 'two'], links: [['one', 'two']] })).hosts
      await roundTrip(t, kind, async (data) => {
        await one.rtnetlink.links.add(linkOf(kind, data, 'eth0'))
        const read = (await one.rtnetlink.links.get('sample')).data
        await one.rtnetlink.links.delete('sample')
        return read
      })
    },
  )
}

kernelTest(
  'an ISATAP tunnel is one to the kernel',
  { needs: { links: ['sit'] }, timeoutSeconds },
  async (t, sandbox) => {
    const { one } = (await sandbox({ hosts: ['one', 'two'], links: [['one', 'two']] })).hosts
    const { links, addresses } = one.rtnetlink
    for (const isIsatap of [false, true]) {
      const data = { local: one.address, ...(isIsatap ? { flags: ['isatap'] as const } : {}) }
      await links.add({ kind: 'sit', name: 'isatap0', data })
      await links.set('isatap0', { families: { ipv6: { addressGeneration: 'eui64' } } })
      await links.set('isatap0', { up: true })
      const own = (await addresses.list({ device: 'isatap0', family: 'ipv6' })).map((each) => each.address)
      // RFC 5214: the interface identifier is ::5efe and the IPv4 address.
      t.equal(own.includes('fe80::5efe:a00:101/64'), isIsatap, own.join())
      await links.delete('isatap0')
    }
  },
)

kernelTest(
  'every attribute of addresses',
  { needs: { links: ['dummy'] }, timeoutSeconds },
  async (t, sandbox) => {
    const { one } = (await sandbox({ hosts: ['one'] })).hosts
    const raw = new Raw(one)
    try {
      await raw.newLink({ name: 'd100', info: { kind: 'dummy' } }, index.dummy, true)
      await one.rtnetlink.links.set('d100', { up: true })
      await roundTrip(t, 'address', async (record) => {
        await raw.newAddress(record)
        const all = await raw.addresses(familyOf(record.local))
        const read = all.find(({ local }) => local === record.local)!
        const { lifetime } = read as { lifetime: Record<string, number> }
        // It runs.
        for (const [key, given] of Object.entries(record.lifetime ?? {}) as [string, number][]) {
          t.ok(lifetime[key]! <= given && lifetime[key]! > given - 300, `${key}: ${lifetime[key]}`)
        }
        return { ...read, lifetime: record.lifetime }
      })
    } finally {
      raw.connection.close()
    }
  },
)

kernelTest(
  'every attribute of routes',
  { needs: { links: ['dummy'] }, timeoutSeconds },
  async (t, sandbox) => {
    const { one } = (await sandbox({ hosts: ['one'] })).hosts
    const raw = new Raw(one)
    try {
      await raw.newLink({ name: 'd100', info: { kind: 'dummy' } }, index.dummy, true)
      await one.rtnetlink.links.set('d100', { up: true })
      for (const own of ['10.9.0.1/24', '2001:db8:9::1/64']) {
        await one.rtnetlink.addresses.add({
          device: 'd100',
          address: own,
          flags: own.includes(':') ? ['no-dad'] : [],
        })
      }
      // struct nhmsg: family, scope, protocol, flags.
      await raw.other(RTM_NEWNEXTHOP, [2, 0, 0, 0, 0, 0, 0, 0], {
        [NHA_ID]: nextHopObject,
        [NHA_OIF]: index.dummy,
      })
      const find = async (destination: string): Promise<Record<string, unknown> | undefined> =>
        (await raw.routes(familyOf(destination))).find((each) => each['destination'] === destination)
      await roundTrip(t, 'route', async (record) => {
        if (record.incomingDevice !== undefined) return raw.way(record)
        await raw.newRoute(record)
        return find(record.destination!)
      })
      for (const destination of ['10.20.0.0', '2001:db8:20::']) {
        await roundTrip(t, 'metrics', async (metrics) => {
          await raw.newRoute({ destination, device: index.dummy, metrics } as never)
          return (await find(destination))!['metrics'] as object
        })
      }
      let number = 30
      await roundTrip(t, 'nextHop', async (hop) => {
        const destination = `10.${number++}.0.0`
        const nextHops = [
          { ...hop, device: index.dummy },
          { gateway: '10.9.0.7', device: index.dummy },
        ]
        await raw.newRoute({ destination, nextHops } as never)
        return ((await find(destination))!['nextHops'] as object[])[0]
      })
    } finally {
      raw.connection.close()
    }
  },
)

kernelTest('every attribute of fou ports', { timeoutSeconds }, async (t, sandbox) => {
  for (const module of ['fou', ...(isUml ? [] : ['fou6'])]) execFileSync('modprobe', [module])
  const { one } = (await sandbox({ hosts: ['one'] })).hosts
  await roundTrip(t, 'fou', async (record) => {
    await one.rtnetlink.fou.add(record as never)
    return (await one.rtnetlink.fou.list()).find(({ family }) => family === record.family)
  })
})

kernelTest('every attribute of rules', { timeoutSeconds }, async (t, sandbox) => {
  const { rules } = (await sandbox({ hosts: ['one'] })).hosts.one.rtnetlink
  await roundTrip(t, 'rule', async ({ from, to, ...more }) => {
    const prefix = (address: string | undefined) =>
      address === undefined ? undefined : `${address}/${address.includes(':') ? 48 : 16}`
    const where = from === undefined ? { family: 'ipv4' as const } : { from: prefix(from), to: prefix(to) }
    await rules.add({ ...more, ...where } as RuleInput)
    const read = (await rules.list({ priority: more.priority }))[0]
    return { ...read, from: read?.from?.split('/')[0], to: read?.to?.split('/')[0] }
  })
})

kernelTest('every attribute of neighbours', { timeoutSeconds }, async (t, sandbox) => {
  const { one } = (await sandbox({ hosts: ['one', 'two'], links: [['one', 'two']] })).hosts
  const { neighbours } = one.rtnetlink
  await roundTrip(t, 'neighbour', async (record) => {
    await neighbours.add({ device: 'eth0', ...record } as NeighbourInput)
    const all = await neighbours.list({ device: 'eth0' })
    const { device: _, ...read } = all.find(({ address }) => address === record.address)!
    return read
  })
})
