/** Events of rtnetlink from the running kernel: seen as they happen, and lost ones told. */
import { NETLINK_ROUTE, openSocket } from '../../src/netlink/index.js'
import { Rtnetlink, type RtnetlinkEvent, type RtnetlinkObjectKind } from '../../src/rtnetlink/index.js'
import { kernelTest } from './kernel-test.js'

const one = { hosts: ['one'] } as const

/** Events up to the first that is the last. */
async function until(
  events: AsyncIterable<RtnetlinkEvent>,
  isLast: (event: RtnetlinkEvent) => boolean,
): Promise<RtnetlinkEvent[]> {
  const told: RtnetlinkEvent[] = []
  for await (const event of events) {
    told.push(event)
    if (isLast(event)) break
  }
  return told
}

/** `made link br0`, for comparison. */
function short(event: RtnetlinkEvent): string {
  if (event.event === 'resynchronise') return event.event
  const { kind, object } = event
  const name =
    kind === 'link'
      ? object.name
      : kind === 'route'
        ? `${object.destination} in ${object.table}`
        : kind === 'rule'
          ? String(object.priority)
          : object.address
  return `${event.event} ${kind} ${name}`
}

kernelTest('every kind of thing is told, made and gone, in one order', {}, async (t, sandbox) => {
  const rt = (await sandbox(one)).hosts.one.rtnetlink
  const events = rt.events()
  const route = { destination: '198.51.100.0/24', gateway: '192.0.2.2', table: 1000 }
  const route6 = { destination: '2001:db8:1::/48', type: 'blackhole' } as const
  const neighbour = { device: 'br0', address: '192.0.2.7', linkAddress: '02:00:00:00:00:07' }
  await rt.links.add({ kind: 'bridge', name: 'br0', up: true })
  await rt.addresses.add({ device: 'br0', address: '192.0.2.1/24' })
  await rt.routes.add(route)
  await rt.routes.add(route6)
  await rt.rules.add({ family: 'ipv4', priority: 5, table: 1000 })
  await rt.rules.add({ family: 'ipv6', priority: 6, table: 1000 })
  await rt.neighbours.add(neighbour)
  await rt.neighbours.delete(neighbour)
  await rt.rules.delete({ family: 'ipv6', priority: 6 })
  await rt.rules.delete({ family: 'ipv4', priority: 5 })
  await rt.routes.delete(route6)
  await rt.routes.delete(route)
  await rt.addresses.delete({ device: 'br0', address: '192.0.2.1/24' })
  await rt.links.delete('br0')
  const told = await until(events, (event) => event.event === 'gone' && event.kind === 'link')
  const ours = [
    'made link br0',
    'made address 192.0.2.1/24',
    'made route 198.51.100.0/24 in 1000',
    'made route 2001:db8:1::/48 in 254',
    'made rule 5',
    'made rule 6',
    'made neighbour 192.0.2.7',
    'gone neighbour 192.0.2.7',
    'gone rule 6',
    'gone rule 5',
    'gone route 2001:db8:1::/48 in 254',
    'gone route 198.51.100.0/24 in 1000',
    'gone address 192.0.2.1/24',
    'gone link br0',
  ]
  const first = told.map(short).filter((text, at, all) => ours.includes(text) && all.indexOf(text) === at)
  t.same(first, ours)
  t.match(
    told.find((event) => short(event) === 'made address 192.0.2.1/24'),
    { object: { family: 'ipv4', scope: 'universe', flags: ['permanent'], label: 'br0' } },
    'with all that a list tells',
  )
})

kernelTest('only what is asked for, until it is left or aborted', {}, async (t, sandbox) => {
  const rt = (await sandbox(one)).hosts.one.rtnetlink
  const what: RtnetlinkObjectKind[] = ['rule']
  const controller = new AbortController()
  const events = rt.events({ what, signal: controller.signal })
  await rt.links.add({ kind: 'bridge', name: 'br0', up: true })
  await rt.addresses.add({ device: 'br0', address: '192.0.2.1/24' })
  await rt.rules.add({ family: 'ipv4', priority: 5 })
  t.match(await events.next(), {
    value: { event: 'made', kind: 'rule', object: { priority: 5, table: 254 } },
  })
  const next = events.next()
  controller.abort(new Error('enough'))
  await t.rejects(next, { message: 'enough' })
  t.same(await events.next(), { value: undefined, done: true })
  t.throws(() => rt.events({ what: ['ruel' as 'rule'] }), { name: 'ValidationError', path: 'what' })

  const more = rt.events({ what })
  await rt.rules.delete({ family: 'ipv4', priority: 5 })
  for await (const { event } of more) {
    t.equal(event, 'gone')
    break
  }
  t.same(await more.next(), { value: undefined, done: true })
})

kernelTest('who waits for an event when the client is closed is told', {}, async (t, sandbox) => {
  const { netns } = (await sandbox(one)).hosts.one
  const rt = await Rtnetlink.open({ netns })
  const next = rt.events().next()
  rt.close()
  await t.rejects(next, { code: 'EBADF' })
})

kernelTest('a port that leaves its bridge is still a link', {}, async (t, sandbox) => {
  const rt = (await sandbox(one)).hosts.one.rtnetlink
  await rt.links.add({ kind: 'bridge', name: 'br0', up: true })
  await rt.links.add({ kind: 'veth', name: 'port', up: true, data: { peer: { name: 'far' } } })
  const { index } = await rt.links.get('br0')
  const events = rt.events({ what: ['link', 'neighbour'] })
  await rt.links.set('port', { master: 'br0' })
  await rt.links.set('port', { master: null })
  await rt.links.set('port', { alias: 'out' })
  const told = await until(
    events,
    (event) => event.event === 'made' && event.kind === 'link' && event.object.alias === 'out',
  )
  // The bridge's own neighbours of multicast groups may go meanwhile.
  t.notOk(
    told.some(
      (event) => event.event === 'resynchronise' || (event.event === 'gone' && event.kind === 'link'),
    ),
    told.map(short).join(', '),
  )
  const masters = told.flatMap((event) =>
    event.event !== 'resynchronise' && event.kind === 'link' && event.object.name === 'port'
      ? [event.object.master]
      : [],
  )
  t.ok(masters.includes(index))
  t.equal(masters.at(-1), undefined)
})

kernelTest('what goes with a link that is deleted', {}, async (t, sandbox) => {
  const rt = (await sandbox(one)).hosts.one.rtnetlink
  await rt.links.add({ kind: 'bridge', name: 'br0', up: true })
  await rt.addresses.add({ device: 'br0', address: '192.0.2.1/24' })
  await rt.addresses.add({ device: 'br0', address: '2001:db8::1/64', flags: ['no-dad'] })
  await rt.routes.add({ destination: '198.51.100.0/24', gateway: '192.0.2.2' })
  await rt.routes.add({ destination: '2001:db8:1::/48', gateway: '2001:db8::2' })
  const events = rt.events()
  await rt.links.delete('br0')
  const told = (
    await until(events, ({ event, ...what }) => event === 'gone' && 'kind' in what && what.kind === 'link')
  ).map(short)
  for (const text of ['address 192.0.2.1/24', 'address 2001:db8::1/64', 'route 2001:db8:1::/48 in 254']) {
    t.ok(told.includes(`gone ${text}`), text)
  }
  t.notOk(
    told.includes('gone route 198.51.100.0/24 in 254'),
    'of IPv4 the kernel does not tell them (fib_table_flush)',
  )
})

kernelTest('events that were lost are told, and others go on', {}, async (t, sandbox) => {
  const { one: host } = (await sandbox(one)).hosts
  const { addresses, links } = host.rtnetlink
  await links.add({ kind: 'bridge', name: 'br0', up: true })
  const count = 500
  for (let number = 0; number < count; number++) {
    await addresses.add({ device: 'br0', address: `10.0.${number >> 8}.${number & 255}/32` })
  }
  // As small as the kernel lets it be: some few events fit.
  const transport = openSocket({ protocol: NETLINK_ROUTE, netns: host.netns, receiveBufferBytes: 4096 })
  const rt = await Rtnetlink.open({ transport })
  try {
    const events = rt.events({ what: ['address'] })
    // One request, within which the kernel tells of each address: nobody can take them meanwhile.
    await links.delete('br0')
    const told: string[] = []
    do told.push(short(((await events.next()) as { readonly value: RtnetlinkEvent }).value))
    while (told.at(-1) !== 'resynchronise')
    t.ok(told.length > 1 && told.length < count, `${told.length} of ${count}`)
    t.ok(told.slice(0, -1).every((text) => text.startsWith('gone address 10.0.')))
    await addresses.add({ device: 'lo', address: '192.0.2.1/32' })
    const after = await until(events, () => true)
    t.same(after.map(short), ['made address 192.0.2.1/32'], 'nothing from before comes behind it')
  } finally {
    rt.close()
  }
})
