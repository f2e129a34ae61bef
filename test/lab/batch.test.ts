/** Many commands at once: exactly the bad ones are reported, whatever the receive buffer holds. */
import type { Test } from 'tap'
import { parseAddress } from '../../src/address/index.js'
import {
  Ipvs,
  type IpvsOperation,
  isKernelError,
  isValidationError,
  type ServiceKey,
} from '../../src/index.js'
import type { Netns } from '../../src/net/index.js'
import { readProcTable } from '../../src/ipvs/proc.js'
import { NETLINK_GENERIC, openSocket } from '../../src/netlink/index.js'
import { ipvsTest } from './ipvs-test.js'

const services = 10_000
const perService = 10
/** One in so many services has a bad command in the place of one of its destinations. */
const badEvery = 10

const serviceKey = (index: number): ServiceKey => ({
  protocol: 'tcp',
  address: `10.100.${index >> 8}.${index & 255}`,
  port: 80,
})
const absentService = (index: number): ServiceKey => ({ ...serviceKey(index), port: 81 }) as ServiceKey
const destinationOf = (
  service: number,
  number: number,
): { address: string; port: number; weight: number } => ({
  address: `10.9.${service & 255}.${number + 1}`,
  port: 8080,
  weight: 1 + ((service * 7 + number) % 1000),
})
/** Never in the table. */
const absent = { address: '10.8.0.1', port: 8080 }

interface Bad {
  readonly operation: string
  readonly code: string
  readonly command: (service: number) => IpvsOperation
}

const kinds: readonly Bad[] = [
  {
    operation: 'ipvs.createDestination',
    code: 'EEXIST',
    command: (index) => ({
      operation: 'createDestination',
      service: serviceKey(index),
      destination: destinationOf(index, 0),
    }),
  },
  {
    operation: 'ipvs.createDestination',
    code: 'ESRCH',
    command: (index) => ({
      operation: 'createDestination',
      service: absentService(index),
      destination: absent,
    }),
  },
  {
    operation: 'ipvs.deleteDestination',
    code: 'ENOENT',
    command: (index) => ({ operation: 'deleteDestination', service: serviceKey(index), destination: absent }),
  },
  {
    operation: 'ipvs.setDestination',
    code: 'ENOENT',
    command: (index) => ({ operation: 'setDestination', service: serviceKey(index), destination: absent }),
  },
  {
    operation: 'ipvs.createService',
    code: 'EEXIST',
    command: (index) => ({ operation: 'createService', service: { ...serviceKey(index), scheduler: 'rr' } }),
  },
  {
    operation: 'ipvs.deleteService',
    code: 'ESRCH',
    command: (index) => ({ operation: 'deleteService', service: absentService(index) }),
  },
  {
    operation: 'ipvs.createDestination',
    code: 'refused before it is sent',
    command: (index) => ({
      operation: 'createDestination',
      service: serviceKey(index),
      destination: { ...destinationOf(index, 0), weight: -1 },
    }),
  },
]

/** Which destination of a service is missing, for a bad command instead. Never the first. */
function missingOf(service: number): number | undefined {
  return service % badEvery === (Math.floor(service / badEvery) * 7) % badEvery
    ? 1 + (service % (perService - 1))
    : undefined
}

function* commands(): Generator<IpvsOperation> {
  let bad = 0
  for (let index = 0; index < services; index++) {
    const service = serviceKey(index)
    yield { operation: 'createService', service: { ...service, scheduler: 'rr' } }
    for (let number = 0; number < perService; number++) {
      if (number === missingOf(index)) yield kinds[bad++ % kinds.length]!.command(index)
      else yield { operation: 'createDestination', service, destination: destinationOf(index, number) }
    }
  }
}

/** Where the bad ones stand, and what is to be said of them. */
function expectedFailures(): string[] {
  const all: string[] = []
  for (let index = 0; index < services; index++) {
    const number = missingOf(index)
    if (number === undefined) continue
    const { operation, code } = kinds[all.length % kinds.length]!
    all.push(`${index * (perService + 1) + 1 + number} ${operation} ${code}`)
  }
  return all
}

function codeOf(error: Error): string {
  if (isKernelError(error)) return error.code
  return isValidationError(error) ? 'refused before it is sent' : error.message
}

ipvsTest(
  '110,000 commands, 1,000 of them bad: these are reported, all others applied',
  async (t, sandbox) => {
    const { director } = (await sandbox({ hosts: ['director'] })).hosts
    await using ipvs = await Ipvs.open({ netns: director.netns })
    const expected = expectedFailures()
    t.equal(expected.length, 1000)
    const { applied, failures, notSent } = await ipvs.apply(commands())
    t.equal(applied, services * (perService + 1) - expected.length)
    t.equal(notSent, 0)
    t.same(
      failures.map(({ index, operation, error }) => `${index} ${operation} ${codeOf(error)}`),
      expected,
    )
    const [first] = failures
    t.match(first?.object, { service: { address: '10.100.0.0', port: 80 } }, 'each names its object')
    await checkTable(t, director.netns)
  },
)

/** Every command that is not among the bad ones is seen in the table, and nothing else. */
async function checkTable(t: Test, netns: Netns): Promise<void> {
  const table = await readProcTable({ netns })
  t.equal(table.services.count, services)
  t.equal(table.destinations.count, services * perService - 1000)
  const seen = new Uint8Array(services)
  let wrong = 0
  for (let position = 0; position < table.services.count; position++) {
    const index = table.services.address[position]! - numberOf('10.100.0.0')
    seen[index]!++
    const numbers = new Set(Array.from({ length: perService }, (_, number) => number))
    numbers.delete(missingOf(index) ?? -1)
    const { firstDestination } = table.services
    for (let at = firstDestination[position]!; at < firstDestination[position + 1]!; at++) {
      const address = table.destinations.address[at]!
      const number = (address & 255) - 1
      const meant = destinationOf(index, number)
      const isMeant =
        numbers.delete(number) &&
        address === numberOf(meant.address) &&
        table.destinations.port[at] === meant.port &&
        table.destinations.weight[at] === meant.weight
      if (!isMeant) wrong++
    }
    wrong += numbers.size
  }
  t.equal(wrong, 0, 'every destination is where it was put, with its weight, and no other')
  t.ok(
    seen.every((count) => count === 1),
    'every service once',
  )
}

function numberOf(address: string): number {
  return new DataView(parseAddress(address)!.buffer).getUint32(0)
}

ipvsTest(
  'replies that the receive buffer has no room for are told as lost, not as success',
  async (t, sandbox) => {
    const { director } = (await sandbox({ hosts: ['director'] })).hosts
    const key = serviceKey(0)
    const total = 3000
    /** Every other one fails: it is there already. */
    const operations = Array.from({ length: total }, (_, index): IpvsOperation => {
      const destination = { address: `10.9.${index >> 9}.${(index >> 1) & 255}`, port: 8080 }
      return { operation: 'createDestination', service: key, destination }
    })
    const refused = Array.from({ length: total / 2 }, (_, index) => 2 * index + 1)

    await using roomy = await Ipvs.open({ netns: director.netns })
    await roomy.createService({ ...key, scheduler: 'rr' })
    const all = await roomy.apply(operations)
    t.equal(all.applied, total / 2)
    t.same(
      all.failures.map(({ index }) => index),
      refused,
      'with the usual buffer every failure is told',
    )
    t.ok(all.failures.every(({ error }) => isKernelError(error, 'EEXIST')))

    await roomy.deleteService(key)
    await roomy.createService({ ...key, scheduler: 'rr' })
    const transport = openSocket({
      protocol: NETLINK_GENERIC,
      netns: director.netns,
      receiveBufferBytes: 4096,
    })
    await using narrow = await Ipvs.open({ netns: director.netns, transport })
    const some = await narrow.apply(operations)
    const lost = some.failures.filter(({ error }) => isKernelError(error, 'ENOBUFS'))
    const told = some.failures.filter(({ error }) => isKernelError(error, 'EEXIST'))
    t.ok(lost.length > 0, `${lost.length} of ${total} are of unknown outcome`)
    t.equal(lost.length + told.length, some.failures.length)
    t.equal(some.applied + some.failures.length, total, 'and each is told, or applied')
    const isTold = new Set(some.failures.map(({ index }) => index))
    t.ok(
      refused.every((index) => isTold.has(index)),
      'none that failed is called applied',
    )
    t.match(lost[0]?.error, { message: /whether it was applied is unknown/, hint: 'Read the object back' })

    t.equal(
      (await narrow.destinations(key)).length,
      total / 2,
      'all were applied, as reading back says, in full',
    )
    await narrow.setDestination(key, { address: '10.9.0.0', port: 8080, weight: 7 })
    await t.rejects(narrow.createDestination(key, { address: '10.9.0.0', port: 8080 }), { code: 'EEXIST' })
  },
)
