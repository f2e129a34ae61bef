import fc from 'fast-check'
import t from 'tap'
import type { DestinationInput, ServiceKey } from '../../src/ipvs/input.js'
import { wireDestination } from '../../src/ipvs/input.js'
import { additions, deletions, planServers, quiesce, withdrawals } from '../../src/ipvs/plan.js'
import type { Destination } from '../../src/ipvs/wire.js'

const web: ServiceKey = { protocol: 'tcp', address: '192.0.2.1', port: 80 }

function present(input: DestinationInput, more: Partial<Destination> = {}): Destination {
  return {
    ...wireDestination(web, input),
    activeConnections: 0,
    inactiveConnections: 0,
    persistentConnections: 0,
    statistics: undefined as never,
    ...more,
  } as Destination
}

void t.test('what is as wanted is left alone, whatever its address is spelled like', async (t) => {
  const plan = planServers(
    web,
    [present({ address: '2001:db8::7', forwardingMethod: 'tunnel' }), present({ address: '10.0.0.1' })],
    [
      { address: '2001:DB8:0::7', forwardingMethod: 'tunnel' },
      { address: '10.0.0.1', port: 80, weight: 1 },
    ],
  )
  t.equal(plan.unchanged.length, 2)
  t.same([plan.add, plan.update, plan.remove], [[], [], []])
})

void t.test('flags are compared as a set', async (t) => {
  const gue = {
    address: '10.0.0.1',
    forwardingMethod: 'tunnel',
    tunnelType: 'gue',
    tunnelPort: 6080,
  } as const
  const plan = planServers(
    web,
    [present({ ...gue, tunnelFlags: ['checksum', 'remote-checksum'] })],
    [{ ...gue, tunnelFlags: ['remote-checksum', 'checksum'] }],
  )
  t.equal(plan.unchanged.length, 1)
})

void t.test('every difference counts', async (t) => {
  const tunnel: DestinationInput = { address: '10.0.0.1', forwardingMethod: 'tunnel' }
  const gue: DestinationInput = { ...tunnel, tunnelType: 'gue', tunnelPort: 6080 }
  const cases: [DestinationInput, DestinationInput][] = [
    [{ address: '10.0.0.1' }, { address: '10.0.0.1', weight: 2 }],
    [{ address: '10.0.0.1', weight: 0 }, { address: '10.0.0.1' }],
    [{ address: '10.0.0.1' }, { address: '10.0.0.1', upperThreshold: 5 }],
    [{ address: '10.0.0.1' }, { address: '10.0.0.1', forwardingMethod: 'direct-route' }],
    [{ address: '10.0.0.1', forwardingMethod: 'local' }, { address: '10.0.0.1' }],
    [tunnel, { ...tunnel, tunnelType: 'gre' }],
    [gue, { ...gue, tunnelPort: 6081 }],
    [gue, { ...gue, tunnelFlags: ['checksum'] }],
  ]
  for (const [before, wanted] of cases) {
    t.equal(planServers(web, [present(before)], [wanted]).update.length, 1, JSON.stringify(wanted))
  }
})

void t.test('a server named twice is refused, with both places', async (t) => {
  const twins = [{ address: '10.0.0.1' }, { address: '10.0.0.2' }, { address: '10.0.0.1', port: 80 }]
  t.throws(() => planServers(web, [], twins), /servers\[2\].*servers\[0\] again/)
  t.throws(() => planServers(web, [], [{ address: '10.0.0.300' }]), /servers\[0\]\.address/)
})

void t.test('a plan leads to what is wanted, and then nothing is left to do', async (t) => {
  const server = fc.record({
    address: fc.integer({ min: 1, max: 12 }).map((last) => `10.0.0.${last}`),
    weight: fc.integer({ min: 0, max: 3 }),
  })
  const list = fc.uniqueArray(server, { selector: ({ address }) => address, maxLength: 12 })
  fc.assert(
    fc.property(list, list, (before, wanted) => {
      const kernel = new Map<string, Destination>(before.map((input) => [input.address, present(input)]))
      const read = (): Destination[] => [...kernel.values()]
      const plan = planServers(web, read(), wanted)
      const steps = [
        ...additions(web, plan),
        ...withdrawals(web, plan),
        ...quiesce(web, plan.remove),
        ...deletions(web, plan.remove),
      ]
      const takers = (servers: Iterable<{ readonly weight?: number | undefined }>): number =>
        [...servers].filter(({ weight }) => weight !== 0).length
      let smallest = Infinity
      for (const step of steps) {
        if (!('destination' in step)) throw new Error('a plan for servers touches no service')
        const { address } = step.destination
        if (step.operation === 'deleteDestination') kernel.delete(address)
        else {
          if (kernel.has(address) !== (step.operation === 'setDestination'))
            throw new Error(`${step.operation} ${address}`)
          kernel.set(address, present(step.destination))
        }
        smallest = Math.min(smallest, takers(kernel.values()))
      }
      const again = planServers(web, read(), wanted)
      return (
        again.add.length + again.update.length + again.remove.length === 0 &&
        kernel.size === wanted.length &&
        (steps.length === 0 || smallest >= Math.min(takers(before), takers(wanted)))
      )
    }),
    { numRuns: 2_000 },
  )
  t.pass('2,000 pairs of states')
})
