/** Zones, queries and hostile messages for the tests of DNS. */
import fc from 'fast-check'
import { type PodRecords, Zone } from '../../../src/dns/index.js'
import { later, Responder, type Transport } from '../../../src/dns/responder.js'
import { ZoneFeed } from '../../../src/dns/zone-feed.js'
import { type ModelObject, ServiceModel } from '../../../src/model/index.js'
import { endpoint, pod, service, slice } from '../model-objects.js'

/** A model and its zone. */
export function zoneOf(objects: readonly ModelObject[] = [], podRecords: PodRecords = 'disabled') {
  const model = new ServiceModel()
  const zone = new Zone({ podRecords, nameservers: ['10.96.0.10'] })
  const feed = new ZoneFeed(model, [zone], { isOwn: true, namespaces: [] })
  for (const object of objects) model.upsert(object)
  feed.refresh()
  return { model, zone, refresh: feed.refresh }
}

const namespace = fc.constantFrom('default', 'shop')
const address = fc.constantFrom('10.1.0.1', '10.1.0.2', '10.1.0.3', '2001:db8::1', '2001:db8::2')
const name = fc.constantFrom('web', 'db', 'mail')

const anyService = fc
  .record({
    name,
    namespace,
    kind: fc.constantFrom('cluster', 'dual', 'headless', 'external', 'inside'),
    last: fc.integer({ min: 1, max: 3 }),
    ports: fc.subarray(['http', 'dns', '']),
    early: fc.boolean(),
    selects: fc.boolean(),
  })
  .map(({ name, namespace, kind, last, ports, early, selects }) => {
    const spec = {
      cluster: { clusterIP: `10.96.0.${last}` },
      dual: { clusterIP: `10.96.0.${last}`, clusterIPs: [`10.96.0.${last}`, `fd00::${last}`] },
      headless: { clusterIP: 'None' },
      external: { type: 'ExternalName', externalName: `host${last}.example.com` },
      inside: { type: 'ExternalName', externalName: `web.shop.svc.cluster.local` },
    }[kind]
    const list = ports.map((port, index) => ({
      name: port,
      port: 80 + index,
      protocol: index === 1 ? 'UDP' : 'TCP',
    }))
    const selector = selects ? { app: 'web' } : undefined
    return service({ ...spec, ports: list, publishNotReadyAddresses: early, selector }, { name, namespace })
  })

const anySlice = fc
  .record({
    name: fc.constantFrom('x', 'y'),
    namespace,
    of: name,
    list: fc.array(fc.tuple(address, fc.boolean(), fc.constantFrom(undefined, 'a', 'B')), { maxLength: 4 }),
    isV6: fc.boolean(),
  })
  .map(({ name, namespace, of, list, isV6 }) =>
    slice(
      list
        .filter(([text]) => text.includes(':') === isV6)
        .map(([text, ready, hostname]) => endpoint(text, 'n', { ready }, { hostname })),
      {
        name,
        namespace,
        of,
        type: isV6 ? 'IPv6' : 'IPv4',
        ports: [
          { name: 'http', port: 8080, protocol: 'TCP' },
          { name: 'dns', port: 5353, protocol: 'UDP' },
        ],
      },
    ),
  )

const anyPod = fc
  .record({ name, namespace, address, ready: fc.boolean(), phase: fc.constantFrom('Running', 'Succeeded') })
  .map(({ name, namespace, address, ready, phase }) => pod(name, address, { namespace, ready, phase }))

/** One thing that happens to a model. */
export const anyStep = fc.oneof(
  anyService.map((object) => ({ upsert: object })),
  anySlice.map((object) => ({ upsert: object })),
  anyPod.map((object) => ({ upsert: object })),
  fc
    .record({
      kind: fc.constantFrom('Service', 'EndpointSlice', 'Pod'),
      name: fc.oneof(name, fc.constantFrom('x', 'y')),
      namespace,
    })
    .map((reference) => ({ delete: reference })),
)
export type Step = typeof anyStep extends fc.Arbitrary<infer T> ? T : never

export function step(model: ServiceModel, one: Step): void {
  if ('upsert' in one) model.upsert(one.upsert)
  else model.delete(one.delete)
}

const owners = [
  'web.default',
  'db.shop',
  'mail.default',
  'a.web.default',
  'b.db.shop',
  '10-1-0-1.web.shop',
  'nope.shop',
]
const lowerName = fc.oneof(
  fc
    .tuple(fc.constantFrom('', '_http._tcp.', '_dns._udp.'), fc.constantFrom(...owners))
    .map(([port, owner]) => `${port}${owner}.svc.cluster.local`),
  fc.constantFrom(
    'cluster.local',
    'svc.cluster.local',
    'shop.svc.cluster.local',
    'dns-version.cluster.local',
  ),
  fc.constantFrom('1.0.96.10.in-addr.arpa', '1.0.1.10.in-addr.arpa', '10.in-addr.arpa', 'example.com', '.'),
  fc.constantFrom('10-1-0-1.default.pod.cluster.local', 'ns.dns.cluster.local'),
)
const capitals = (text: string, chosen: bigint): string =>
  text.replace(/[a-z]/g, (letter, place: number) =>
    (chosen >> BigInt(place)) & 1n ? letter.toUpperCase() : letter,
  )
const anyCapitals = fc.bigInt({ min: 0n, max: 1n << 60n })
const anyType = fc.constantFrom('A', 'AAAA', 'SRV', 'PTR', 'TXT', 'CNAME', 'SOA', 'NS', 'ANY', 'MX', 'TYPE65')
/** Of `usualObjects`, some of which come and go. */
const known = fc.constantFrom(
  ['web.default.svc.cluster.local', 'A'] as const,
  ['web.default.svc.cluster.local', 'AAAA'] as const,
  ['_http._tcp.web.default.svc.cluster.local', 'SRV'] as const,
  ['db.default.svc.cluster.local', 'A'] as const,
  ['_http._tcp.db.default.svc.cluster.local', 'SRV'] as const,
  ['alias.default.svc.cluster.local', 'CNAME'] as const,
  ['7.0.96.10.in-addr.arpa', 'PTR'] as const,
  ['dns-version.cluster.local', 'TXT'] as const,
)
/** Names that there may be and that there are not, in any letters, and a type. */
export const anyQuestion = fc
  .tuple(fc.oneof(known, fc.tuple(lowerName, anyType)), anyCapitals)
  .map(([[name, type], chosen]) => [capitals(name, chosen), type] as const)

/** What is said to a message; undefined for nothing. */
export function respond(
  responder: Responder,
  message: Uint8Array,
  transport: Transport = 'udp',
): Uint8Array | undefined {
  // Not at the beginning of the memory, and not up to its end.
  const source = new Uint8Array(message.length + 20).fill(0x5a)
  source.set(message, 7)
  const target = new Uint8Array(80_000)
  const length = responder.respond(source, 7, message.length, transport, target, 5)
  if (length === later) return new Uint8Array(0)
  return length === 0 ? undefined : target.slice(5, 5 + length)
}

export const usualObjects: readonly ModelObject[] = [
  service(
    { clusterIP: '10.96.0.7', clusterIPs: ['10.96.0.7', 'fd00::7'], ports: [{ name: 'http', port: 80 }] },
    { name: 'web' },
  ),
  service({ clusterIP: 'None', ports: [{ name: 'http', port: 80 }] }, { name: 'db' }),
  service({ type: 'ExternalName', externalName: 'web.default.svc.cluster.local' }, { name: 'alias' }),
  slice(
    Array.from({ length: 60 }, (_, index) => endpoint(`10.1.0.${index + 1}`)),
    { name: 'db-1', of: 'db' },
  ),
]

/** A generator that can be repeated: mulberry32. */
export function randomFrom(seed: number): (below: number) => number {
  let state = seed | 0
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296) * below)
  }
}

/** One of them with something wrong: bytes changed, cut off, put in twice, or added. */
export function mutated(messages: readonly Uint8Array[], random: (below: number) => number): Uint8Array {
  let bytes: Uint8Array = Uint8Array.from(messages[random(messages.length)]!)
  for (let count = 1 + random(4); count > 0; count--) {
    const at = random(bytes.length + 1)
    switch (random(6)) {
      case 0:
        bytes = bytes.slice(0, at)
        break
      case 1:
        bytes = Uint8Array.of(
          ...bytes.subarray(0, at),
          ...bytes.subarray(random(at + 1), at),
          ...bytes.subarray(at),
        )
        break
      case 2:
        bytes = Uint8Array.of(...bytes, ...Array.from({ length: random(40) }, () => random(256)))
        break
      case 3:
        if (at < bytes.length) bytes[at] = [0, 1, 0x3f, 0x40, 0x80, 0xc0, 0xff, 0x0c][random(8)]!
        break
      default:
        if (at < bytes.length) bytes[at] = random(256)
    }
  }
  return bytes.subarray(0, 4000)
}
