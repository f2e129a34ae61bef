/** A network that falls apart with a virtual router and a client on each side, and comes together again. */
import { VirtualRouter } from '../../src/edge/index.js'
import type { Host } from '../../src/testing/index.js'
import { kernelTest } from './kernel-test.js'
import { until } from './support/edge.js'

const addresses = ['10.0.1.100/24', 'fd00:1::100/64'] as const
const plain = addresses.map((address) => address.split('/')[0]!)

kernelTest(
  'after a partition there is one master, and everybody knows which',
  { timeoutSeconds: 60 },
  async (t, sandbox) => {
    const net = await sandbox({
      hosts: ['better', 'left', 'lesser', 'right', 'between'],
      links: [
        ['better', 'left', 'between'],
        // The same network, with other addresses.
        { hosts: ['lesser', 'right', 'between'], ipv4: '10.0.1.50/24', ipv6: 'fd00:1::50/64' },
      ],
    })
    const { better, left, lesser, right, between } = net.hosts
    const { links } = between.rtnetlink
    const data = { multicastSnooping: false, spanningTree: 0, forwardDelay: 0 }
    await links.add({ kind: 'bridge', name: 'bridge', data })
    for (const name of ['eth0', 'eth1']) await links.set(name, { master: 'bridge' })
    await links.set('bridge', { up: true })
    for (const host of [better, lesser]) {
      await host.serve((_request, response) => response.end(host.name), { port: 8080 })
    }

    const start = (host: Host, priority: number, intervalCentiseconds: number): Promise<VirtualRouter> =>
      VirtualRouter.start({
        netns: host.netns,
        device: 'eth0',
        addresses,
        vrrp: { virtualRouterId: 7, priority, intervalCentiseconds },
        // Once: nothing is put right by being said again.
        announce: { afterMilliseconds: [0] },
      })
    const has = async (host: Host): Promise<boolean> => {
      const own = (await host.rtnetlink.addresses.list()).map(({ address }) => address)
      return addresses.some((address) => own.includes(address))
    }
    const ask = async (client: Host): Promise<string[]> => {
      const answers: string[] = []
      for (const address of plain) {
        const host = address.includes(':') ? `[${address}]` : address
        answers.push(
          (await client.fetch(`http://${host}:8080/`, { headers: { connection: 'close' } })).text(),
        )
      }
      return answers
    }
    /** Where a client sends what is for the addresses. */
    const sendsTo = async (client: Host, host: Host): Promise<boolean> => {
      const { address } = await host.rtnetlink.links.get('eth0')
      const known = await client.rtnetlink.neighbours.list({ device: 'eth0' })
      return plain.every((one) =>
        known.some((entry) => entry.address === one && entry.linkAddress === address),
      )
    }

    // The lesser one says nothing for long: it hears the better one first when they meet, and has to tell it.
    const [first, second] = [await start(better, 200, 10), await start(lesser, 100, 300)]
    const told: string[] = []
    try {
      await until(() => first.status().hasAddresses)
      t.same(
        [await ask(left), await ask(right)],
        [
          ['better', 'better'],
          ['better', 'better'],
        ],
      )
      t.notOk(await has(lesser))

      for (let times = 1; times <= 2; times++) {
        await links.set('bridge', { up: false })
        await until(() => second.status().hasAddresses)
        t.ok(first.leader.isLeader, 'both are master, each on its side')
        await until(() => sendsTo(right, lesser))
        t.same(
          [await ask(left), await ask(right)],
          [
            ['better', 'better'],
            ['lesser', 'lesser'],
          ],
        )
        if (times === 1) first.leader.subscribe(({ event }) => void told.push(event))

        const from = performance.now()
        await links.set('bridge', { up: true })
        await until(() => !second.leader.isLeader)
        await until(async () => !(await has(lesser)))
        // It was master all along, and the client would go on sending to the other one.
        const took = (await until(() => sendsTo(right, better))) - from
        t.comment(`put right after ${Math.round(took)} ms`)
        t.same(
          [await ask(left), await ask(right)],
          [
            ['better', 'better'],
            ['better', 'better'],
          ],
        )
        t.match(second.status(), { isLeader: false, hasAddresses: false, foreign: [], error: undefined })
      }
      t.same([...new Set(told)], ['acquired', 'contested'], 'the better one has never been anything else')
    } finally {
      await first.close()
      await second.close()
    }
    for (const host of [better, lesser]) t.notOk(await has(host))
  },
)
