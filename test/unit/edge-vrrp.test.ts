/** Advertisements and the state machine of VRRP against the words of RFC 5798 and RFC 9568. */
import fc from 'fast-check'
import t from 'tap'
import { parseAddress } from '../../src/address/index.js'
import { readIpv4Packet, writeIpv4Packet, writeIpv6Packet } from '../../src/edge/vrrp/ip-header.js'
import {
  downInterval,
  initialState,
  nextAt,
  skewTime,
  step,
  type VrrpAction,
  type VrrpEvent,
  type VrrpRules,
  type VrrpState,
} from '../../src/edge/vrrp/machine.js'
import { type Advertisement, readAdvertisement, writeAdvertisement } from '../../src/edge/vrrp/packet.js'

const bytesOf = (address: string) => parseAddress(address)!
const [source, group] = [bytesOf('10.0.1.1'), bytesOf('224.0.0.18')]
const [source6, group6] = [bytesOf('fe80::1'), bytesOf('ff02::12')]
const sample: Advertisement = {
  virtualRouterId: 51,
  priority: 100,
  intervalCentiseconds: 100,
  addresses: ['10.0.1.100'],
}

t.test('an advertisement is laid out as RFC 5798, 5.1 draws it', (t) => {
  // Computed by hand: 0x3133 + 0x6401 + 0x0064 + 0x0a00 + 0x0164, and 0x0a00 + 0x0101 + 0xe000 + 0x0012 + 12 + 112.
  const bytes = writeAdvertisement(sample, source, group)
  t.equal(Buffer.from(bytes).toString('hex'), '3133640100647373' + '0a000164')
  const plain = writeAdvertisement(sample, source, group, 'without-pseudo-header')
  t.equal(Buffer.from(plain).toString('hex'), '3133640100645f03' + '0a000164')
  t.same(readAdvertisement(bytes, source, group), { advertisement: sample })
  t.same(readAdvertisement(plain, source, group), { advertisement: sample }, 'of IPv4 either checksum')
  t.same(readAdvertisement(bytes, bytesOf('10.0.1.7'), group), { fault: 'checksum' }, 'of another sender')
  t.end()
})

t.test('of IPv6 the checksum covers the pseudo-header in any case', (t) => {
  const six = { ...sample, addresses: ['fe80::100', '2001:db8::100'] }
  const bytes = writeAdvertisement(six, source6, group6, 'without-pseudo-header')
  t.equal(bytes.length, 40)
  t.same(readAdvertisement(bytes, source6, group6), { advertisement: six })
  t.same(readAdvertisement(bytes, bytesOf('fe80::2'), group6), { fault: 'checksum' })
  t.end()
})

t.test('what is none is told by its reason', (t) => {
  const broken = (change: (bytes: Uint8Array) => void, keepChecksum = false): unknown => {
    const bytes = writeAdvertisement(sample, source, group)
    change(bytes)
    if (!keepChecksum) {
      // Right again, without the pseudo-header.
      bytes.set([0, 0], 6)
      let sum = 0
      for (let index = 0; index < bytes.length; index += 2) sum += bytes[index]! * 256 + bytes[index + 1]!
      while (sum > 0xffff) sum = (sum >> 16) + (sum & 0xffff)
      new DataView(bytes.buffer).setUint16(6, ~sum & 0xffff)
    }
    return readAdvertisement(bytes, source, group)
  }
  t.same(
    broken(() => undefined),
    { advertisement: sample },
  )
  t.same(
    broken((bytes) => (bytes[0] = 0x21)),
    { fault: 'version' },
  )
  t.same(
    broken((bytes) => (bytes[0] = 0x32)),
    { fault: 'type' },
  )
  t.same(
    broken((bytes) => (bytes[1] = 0)),
    { fault: 'no-router-id' },
  )
  t.same(
    broken((bytes) => (bytes[3] = 2)),
    { fault: 'length' },
  )
  t.same(
    broken((bytes) => bytes.set([0xf0, 0], 4)),
    { fault: 'no-interval' },
    'the upper four bits are reserved',
  )
  t.same(
    broken((bytes) => (bytes[2] = 101), true),
    { fault: 'checksum' },
  )
  t.same(readAdvertisement(new Uint8Array(7), source, group), { fault: 'too-short' })
  t.end()
})

t.test('whatever bytes come, they are read or refused', (t) => {
  const advertisements = fc.property(fc.uint8Array({ maxLength: 1100 }), fc.boolean(), (bytes, six) => {
    const read = six ? readAdvertisement(bytes, source6, group6) : readAdvertisement(bytes, source, group)
    return 'fault' in read || read.advertisement.intervalCentiseconds > 0
  })
  const packets = fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => {
    const read = readIpv4Packet(bytes)
    return read === undefined || read.payload.length <= bytes.length - 20
  })
  t.doesNotThrow(() => fc.assert(advertisements, { numRuns: 5000 }))
  t.doesNotThrow(() => fc.assert(packets, { numRuns: 5000 }))
  t.end()
})

t.test('what is written is read again, and one flipped bit is noticed', (t) => {
  const octet = fc.integer({ min: 0, max: 255 })
  const ipv4 = fc.tuple(octet, octet, octet, octet).map((parts) => parts.join('.'))
  const advertisement = fc.record({
    virtualRouterId: fc.integer({ min: 1, max: 255 }),
    priority: octet,
    intervalCentiseconds: fc.integer({ min: 1, max: 4095 }),
    addresses: fc.array(ipv4, { maxLength: 255 }),
  })
  fc.assert(
    fc.property(advertisement, fc.nat(), (given, at) => {
      const bytes = writeAdvertisement(given, source, group)
      const packet = readIpv4Packet(writeIpv4Packet(source, group, bytes))!
      const read = readAdvertisement(packet.payload, packet.source, packet.destination)
      t.strictSame(read, { advertisement: { ...given } })
      const bit = at % (bytes.length * 8)
      bytes[bit >> 3]! ^= 1 << (bit & 7)
      return 'fault' in readAdvertisement(bytes, source, group)
    }),
    { numRuns: 300 },
  )
  t.end()
})

t.test('IP headers', (t) => {
  const four = writeIpv4Packet(source, group, Uint8Array.of(1, 2, 3))
  t.match(readIpv4Packet(four), {
    hopLimit: 255,
    source,
    destination: group,
    payload: Uint8Array.of(1, 2, 3),
  })
  t.match(readIpv4Packet(Uint8Array.from([...four, 9, 9])), { payload: Uint8Array.of(1, 2, 3) }, 'padding')
  four[9] = 17
  t.equal(readIpv4Packet(four), undefined, 'another protocol')
  const six = writeIpv6Packet(source6, group6, Uint8Array.of(7))
  t.equal(Buffer.from(six).toString('hex').slice(0, 16), '6c000000' + '0001' + '70ff')
  t.equal(six.length, 41)
  t.end()
})

/** As a program drives it: by events at times, with the timers in between. */
class Router {
  state: VrrpState
  readonly actions: [number, VrrpAction][] = []
  now = 0
  readonly #rules: VrrpRules
  constructor(priority: number, rules: Partial<VrrpRules> = {}) {
    this.#rules = { intervalCentiseconds: 100, preempt: true, preemptDelayMilliseconds: 0, ...rules }
    this.state = initialState(priority)
  }
  at(now: number, event?: VrrpEvent): VrrpAction['type'][] {
    const from = this.actions.length
    for (let due = nextAt(this.state); due !== undefined && due <= now; due = nextAt(this.state)) {
      this.now = due
      this.#do({ type: 'time' })
    }
    this.now = now
    if (event !== undefined) this.#do(event)
    return this.actions.slice(from).map(([, { type }]) => type)
  }
  #do(event: VrrpEvent): void {
    const { state, actions } = step(this.#rules, this.state, event, this.now)
    this.state = state
    for (const action of actions) this.actions.push([this.now, action])
  }
}
const heard = (priority: number, more: object = {}): VrrpEvent => ({
  type: 'advertisement',
  priority,
  intervalCentiseconds: 100,
  isFromHigherAddress: false,
  ...more,
})

t.test('skew and down interval (RFC 5798, 6.1)', (t) => {
  t.equal(skewTime(100, 100), 609.375)
  t.equal(skewTime(254, 100), 7.8125)
  t.equal(downInterval(100, 100), 3609.375)
  t.equal(downInterval(254, 10), 300.78125)
  t.end()
})

t.test('the owner is master at once, others when nobody is heard', (t) => {
  const owner = new Router(255)
  t.same(owner.at(0, { type: 'startup' }), ['advertise', 'acquired'])
  const other = new Router(100)
  t.same(other.at(0, { type: 'startup' }), [])
  t.same(other.at(3609), [])
  t.same(other.at(3610), ['advertise', 'acquired'])
  t.same(other.at(5700), ['advertise', 'advertise'], 'and each interval again')
  t.same(
    other.actions.map(([time]) => time),
    [3609.375, 3609.375, 4609.375, 5609.375],
  )
  t.end()
})

t.test('a backup stays one while it hears a master', (t) => {
  const router = new Router(100)
  router.at(0, { type: 'startup' })
  for (let time = 1000; time <= 20_000; time += 1000) t.same(router.at(time, heard(100)), [])
  t.same(router.at(23_609), [])
  t.same(router.at(23_610), ['advertise', 'acquired'], 'three intervals and the skew after the last one')
  t.end()
})

t.test('the master’s interval holds, not its own', (t) => {
  const router = new Router(100)
  router.at(0, { type: 'startup' })
  router.at(0, heard(200, { intervalCentiseconds: 10 }))
  t.equal(nextAt(router.state), 300 + (156 * 100) / 256)
  t.end()
})

t.test('a master that steps down is followed after the skew', (t) => {
  const router = new Router(200)
  router.at(0, { type: 'startup' })
  router.at(100, heard(254))
  t.same(router.at(500, heard(0)), [])
  t.equal(nextAt(router.state), 500 + skewTime(200, 100))
  t.same(router.at(720), ['advertise', 'acquired'])
  t.end()
})

t.test('a lower priority is pre-empted, unless that is not wanted', (t) => {
  const eager = new Router(150)
  eager.at(0, { type: 'startup' })
  for (let time = 500; time < 3400; time += 500) eager.at(time, heard(100))
  t.equal(eager.state.name, 'backup')
  t.same(eager.at(3500), ['advertise', 'acquired'], 'a down interval after its start')
  const patient = new Router(150, { preempt: false })
  patient.at(0, { type: 'startup' })
  for (let time = 500; time < 20_000; time += 500) patient.at(time, heard(100))
  t.equal(patient.state.name, 'backup')
  t.same(patient.at(23_000), ['advertise', 'acquired'], 'it takes over from one that is gone')
  const owner = new Router(255, { preempt: false })
  t.same(owner.at(0, { type: 'startup' }), ['advertise', 'acquired'], 'the owner does in any case')
  t.end()
})

t.test('a delay before it pre-empts', (t) => {
  const router = new Router(150, { preemptDelayMilliseconds: 10_000 })
  router.at(0, { type: 'startup' })
  let time = 500
  for (; router.state.name === 'backup' && time < 60_000; time += 500) router.at(time, heard(100))
  t.ok(time >= 10_500 + 3000 && time <= 10_500 + 4000, `not before, nor much later: ${time}`)
  const other = new Router(150, { preemptDelayMilliseconds: 10_000 })
  other.at(0, { type: 'startup' })
  for (time = 500; time < 9000; time += 500) other.at(time, heard(100))
  other.at(9000, heard(200))
  for (time = 9500; time < 19_000; time += 500) other.at(time, heard(100))
  t.equal(other.state.name, 'backup', 'a better master in between begins it anew')
  t.end()
})

t.test('of two masters one gives way', (t) => {
  const master = (): Router => {
    const router = new Router(100)
    router.at(0, { type: 'startup' })
    router.at(4000)
    return router
  }
  // With its own priority, so that the better one knows.
  t.same(master().at(4100, heard(101)), ['advertise', 'lost'])
  t.same(master().at(4100, heard(100, { isFromHigherAddress: true })), ['advertise', 'lost'])
  const stays = master()
  t.same(
    stays.at(4100, heard(100)),
    ['advertise', 'contested'],
    'the lower address hears at once whose it is (RFC 9568, 6.4.3)',
  )
  t.same(stays.at(4101, heard(99)), [], 'but not a thousand times')
  t.same(stays.at(4250, heard(99)), ['advertise', 'contested'])
  t.same(stays.at(4300, heard(0)), ['advertise'], 'RFC 5798, 6.4.3')
  t.equal(nextAt(stays.state), 5300)
  t.end()
})

t.test('two masters that meet: one is left, and knows of the other, whoever is heard first', (t) => {
  for (const isBetterFirst of [true, false]) {
    const better = new Router(200)
    const lesser = new Router(100)
    for (const router of [better, lesser]) {
      router.at(0, { type: 'startup' })
      router.at(4000)
    }
    const told: string[] = []
    /** What one says the other hears, and so on. */
    const say = (from: Router, to: Router, now: number): void => {
      const before = to.actions.length
      told.push(...to.at(now, heard(from.state.priority)))
      const answers = to.actions.slice(before).filter(([, { type }]) => type === 'advertise')
      for (const _ of answers) say(to, from, now)
    }
    if (isBetterFirst) say(better, lesser, 5000)
    else say(lesser, better, 5000)
    t.equal(better.state.name, 'master')
    t.equal(lesser.state.name, 'backup')
    t.equal(told.filter((type) => type === 'contested').length, 1)
    t.equal(told.filter((type) => type === 'lost').length, 1)
  }
  t.end()
})

t.test('it steps down with priority 0, as master alone', (t) => {
  const router = new Router(100)
  router.at(0, { type: 'startup' })
  t.same(router.at(10, { type: 'shutdown' }), [])
  router.at(20, { type: 'startup' })
  router.at(4000)
  router.at(4000, { type: 'shutdown' })
  t.same(
    router.actions.slice(-2).map(([, action]) => action),
    [{ type: 'advertise', priority: 0 }, { type: 'lost' }],
  )
  t.equal(nextAt(router.state), undefined)
  t.same(router.at(9000, heard(100)), [], 'and is out of it')
  t.end()
})

t.test('priorities change while it runs', (t) => {
  const router = new Router(100)
  router.at(0, { type: 'startup' })
  router.at(0, { type: 'priority', priority: 200 })
  t.equal(nextAt(router.state), downInterval(200, 100))
  router.at(4000)
  t.same(router.at(4100, { type: 'priority', priority: 50 }), ['advertise'], 'the others hear of it at once')
  t.same(router.actions.at(-1)![1], { type: 'advertise', priority: 50 })
  t.same(router.at(4101, { type: 'priority', priority: 50 }), [])
  t.same(router.at(4200, heard(100)), ['advertise', 'lost'])
  t.end()
})

t.test(
  'whatever is heard: one master of those that hear each other, and timers that are in the future',
  (t) => {
    const event = fc.oneof(
      fc.record({
        type: fc.constant('advertisement' as const),
        priority: fc.integer({ min: 0, max: 255 }),
        intervalCentiseconds: fc.integer({ min: 1, max: 4095 }),
        isFromHigherAddress: fc.boolean(),
      }),
      fc.record({ type: fc.constant('priority' as const), priority: fc.integer({ min: 1, max: 255 }) }),
      fc.constantFrom<VrrpEvent>({ type: 'startup' }, { type: 'shutdown' }, { type: 'time' }),
    )
    const rules = fc.record({
      intervalCentiseconds: fc.integer({ min: 1, max: 4095 }),
      preempt: fc.boolean(),
      preemptDelayMilliseconds: fc.integer({ min: 0, max: 5000 }),
    })
    const property = fc.property(
      rules,
      fc.array(fc.tuple(fc.integer({ min: 0, max: 5000 }), event), { maxLength: 60 }),
      (rules, events) => {
        let state = initialState(100)
        let now = 0
        let isMaster = false
        for (const [pause, event] of events) {
          now += pause
          const next = step(rules, state, event, now)
          for (const { type } of next.actions) {
            // Acquired and lost take turns.
            if (type === 'acquired' && isMaster) return false
            if (type === 'lost' && !isMaster) return false
            if (type === 'contested' && !isMaster) return false
            if (type !== 'advertise') isMaster = type !== 'lost'
          }
          state = next.state
          if (isMaster !== (state.name === 'master')) return false
          const due = nextAt(state)
          if (event.type === 'time' && due !== undefined && due <= now) return false
        }
        return true
      },
    )
    t.doesNotThrow(() => fc.assert(property, { numRuns: 2000 }))
    t.end()
  },
)
