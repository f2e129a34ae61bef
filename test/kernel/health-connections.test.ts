/** What becomes of the connections of a server that is out: left alone, or ended if that is asked for. */
import { once } from 'node:events'
import t, { type Test } from 'tap'
import type { HealthRules } from '../../src/health/index.js'
import { listenTcp } from '../../src/net/index.js'
import { clusterAddress } from './services-network.js'
import { until } from '../lab/support/until.js'
import { grace, Healing, type Kept, port, type Way } from './support/healing.js'

const [interval, timeout, fall] = [200, 250, 2]
/** Until a host that has vanished is out. */
const bound = fall * (interval + timeout) + 50

/** `web` is checked, for TCP and UDP; so are `alone` and `both`, which have fewer servers; `other` is not. */
async function network(t: Test, rules: HealthRules, family: 'ipv4' | 'ipv6' = 'ipv4'): Promise<Healing> {
  const names = ['a', 'b', 'c']
  const healing: Healing = await Healing.open(t, {
    names,
    checksOf:
      (netns) =>
      ({ key }) =>
        key.includes('other')
          ? undefined
          : {
              // Of the servers of `both` the check of one asks another.
              check: ({ address }) => ({
                kind: 'tcp',
                netns,
                ...(key.includes('both') && address === healing.server('c', family).address
                  ? { address: healing.server('a', family).address }
                  : {}),
              }),
              rules: {
                intervalMilliseconds: interval,
                timeoutMilliseconds: timeout,
                fall,
                damping: false,
                mostOut: /alone|both/.test(key) ? 1 : undefined,
                ...rules,
              },
            },
  })
  for (const name of names) {
    await healing.host(name).serveUdp((_, __, reply) => reply(Buffer.from(name)), { port })
  }
  const service = (name: string, servicePort: number, servers: readonly string[]): void => {
    healing.reconciler.upsert({
      name,
      address: clusterAddress[family],
      ports: [
        { name: 'tcp', port: servicePort, targetPort: port, nodePort: name === 'web' ? nodePort : undefined },
        { name: 'udp', port: servicePort, targetPort: port, protocol: 'udp' },
      ],
      servers: servers.map((one) => healing.server(one, family)),
    })
  }
  service('web', 80, names)
  service('other', 81, ['b'])
  service('alone', 82, ['b'])
  service('both', 83, ['b', 'c'])
  await healing.reconciler.settled()
  await healing.allUp()
  return healing
}

const nodePort = 30080

/** Connections on this way, until there are so many to `b`, and others. */
async function connections(
  healing: Healing,
  count: number,
  way: Way = {},
): Promise<{ readonly toB: Kept[]; readonly others: Kept[] }> {
  const toB: Kept[] = []
  const others: Kept[] = []
  await until('there are connections to both', async () => {
    const kept = await healing.connect(way)
    ;(kept.by === 'b' ? toB : others).push(kept)
    return toB.length >= count && (others.length > 0 || way.port === 82)
  })
  return { toB, others }
}

/** A client whose datagrams go to `b`: tells who answers the next one. */
async function flowToB({ client }: Healing, family: 'ipv4' | 'ipv6'): Promise<() => Promise<string>> {
  return await until('datagrams go to b', async () => {
    const socket = await client.udp({ address: family === 'ipv4' ? '0.0.0.0' : '::' })
    const ask = async (): Promise<string> => {
      const asked = setInterval(() => socket.send('?', 80, clusterAddress[family]), 10)
      try {
        const [bytes] = (await once(socket, 'message')) as [Buffer]
        return String(bytes)
      } finally {
        clearInterval(asked)
      }
    }
    return (await ask()) === 'b' ? ask : undefined
  })
}

for (const family of ['ipv4', 'ipv6'] as const) {
  t.test(
    `what a host that vanishes had ends within the bound, if that is asked for: ${family}`,
    async (t) => {
      const healing = await network(t, { onFailure: 'end-connections' }, family)
      const address = family === 'ipv4' ? healing.node.address : healing.node.address6
      const ways: Readonly<Record<string, Way>> = {
        'at the cluster address': { family },
        'from the node itself': { family, from: healing.node },
        'at a node port, masqueraded': { family, address, port: nodePort },
        'of a service that has no other server': { family, port: 82 },
      }
      const ended: [what: string, kept: Kept][] = []
      const others: Kept[] = []
      for (const [what, way] of Object.entries(ways)) {
        const made = await connections(healing, 2, way)
        others.push(...made.others)
        const [asks, waits, ...more] = made.toB
        ended.push([`one that has sent, ${what}`, asks!], [`one that waits, ${what}`, waits!])
        for (const kept of more) ended.push([`another, ${what}`, kept])
      }
      const other = await healing.connect({ family, port: 81 })
      const direct = await healing.client.connect(healing.server('b', family))
      const datagram = await flowToB(healing, family)
      await healing.vanish('b')
      const lost = performance.now()
      for (const [what, kept] of ended) if (what.startsWith('one that has sent')) kept.send()
      const givenUp = setTimeout(() => {
        for (const [, kept] of ended) kept.destroy()
      }, 4 * bound)
      const moved = until('datagrams are answered by another server', async () => {
        const by = await datagram()
        return by !== 'b' && performance.now()
      })
      for (const [what, kept] of ended) {
        const { code, at } = await kept.ended
        t.equal(code, 'ECONNRESET', what)
        t.ok(at - lost <= bound + grace, `${(at - lost).toFixed(0)} ms after the loss, of ${bound}`)
      }
      clearTimeout(givenUp)
      const at = await moved
      t.ok(at - lost <= bound + grace, `a flow of UDP moved ${(at - lost).toFixed(0)} ms after the loss`)
      for (const kept of others) t.equal(await kept.ask(), kept.by, 'others go on')
      const ports = (await healing.flowsTo('b'))
        .filter(({ tcp }) => tcp?.state === 'established')
        .map(({ original }) => original.destinationPort)
      t.same(ports.sort(), [81, port], 'and what is not of this service stays')
      t.notOk(other.isOver || direct.closed)
    },
  )
}

t.test('who waits for a server is not sent to another one that is dead and not known to be', async (t) => {
  const healing = await network(t, { onFailure: 'end-connections' })
  const { toB } = await connections(healing, 2, { port: 83 })
  await Promise.all(['b', 'c'].map((name) => healing.vanish(name)))
  const lost = performance.now()
  const givenUp = setTimeout(() => toB.forEach((kept) => kept.destroy()), 4 * bound)
  for (const kept of toB) {
    const { code, at } = await kept.ended
    t.equal(code, 'ECONNRESET')
    t.ok(at - lost <= bound + grace, `${(at - lost).toFixed(0)} ms after the loss, of ${bound}`)
  }
  clearTimeout(givenUp)
})

t.test('what a host that vanishes had is left alone, if that is not asked for', async (t) => {
  const healing = await network(t, {})
  const { toB } = await connections(healing, 2)
  await healing.vanish('b')
  toB[0]!.send()
  await healing.isOut('b')
  const flows = await healing.flowsTo('b')
  const isKept = flows.filter(
    ({ original, tcp }) => original.destinationPort === 80 && tcp?.state === 'established',
  )
  t.equal(isKept.length, toB.length)
  t.ok(toB.every(({ isOver }) => !isOver))
})

t.test('a server that only listens no more keeps what it has, though ending is asked for', async (t) => {
  const healing = await network(t, { onFailure: 'end-connections' })
  healing.kill('b')
  const listener = await listenTcp({ netns: healing.host('b').netns, address: '0.0.0.0', port })
  t.teardown(() => listener.close())
  listener.on('connection', (socket) =>
    socket.on('data', () => socket.write('b')).on('error', () => undefined),
  )
  await healing.allUp()
  const { toB } = await connections(healing, 1)
  listener.close()
  await healing.isOut('b')
  for (const kept of toB) t.equal(await kept.ask(), 'b')
  for (const kept of toB) await kept.end()
})
