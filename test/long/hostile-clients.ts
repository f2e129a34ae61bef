/** Clients whose kernel answers hostile bytes, and a listener who gets such events. */
import {
  isBatchError,
  isKernelError,
  isMalformedMessageError,
  isUnsupportedError,
  KernelError,
} from '../../src/errors/index.js'
import { Conntrack } from '../../src/conntrack/index.js'
import { readFlow } from '../../src/conntrack/flow.js'
import { tables as flowTables } from '../../src/conntrack/wire.js'
import { GenericFamily, GENL_HDRLEN } from '../../src/genetlink/index.js'
import { family as familyTable, GENL_ID_CTRL } from '../../src/genetlink/wire.js'
import { readInfo } from '../../src/ipvs/info.js'
import { Ipvs, type IpvsOperation } from '../../src/ipvs/index.js'
import { IPVS_GENL_NAME, IPVS_GENL_VERSION, tables as ipvsTables } from '../../src/ipvs/wire.js'
import { Connection, forEachMessage, type Transport, viewOf } from '../../src/netlink/index.js'
import {
  type Family,
  formatRule,
  Nftables,
  type NftSet,
  printRule,
  printRuleset,
  type Rule,
} from '../../src/nftables/index.js'
import { kinds } from '../../src/nftables/kinds.js'
import { MergedSet } from '../../src/nftables/merging.js'
import { readObject as readNftObject } from '../../src/nftables/reading.js'
import { commentOf, isAutoMerge } from '../../src/nftables/userdata.js'
import * as nftWire from '../../src/nftables/wire.js'
import {
  addressHeader,
  linkHeader,
  neighbourHeader,
  routeHeader,
  ruleHeader,
} from '../../src/rtnetlink/headers.js'
import { Rtnetlink } from '../../src/rtnetlink/index.js'
import { address, link, message, neighbour, route, rule } from '../../src/rtnetlink/wire.js'
import { Sockdiag } from '../../src/sockdiag/index.js'
import { attributes as socketAttributes, reply as socketReply } from '../../src/sockdiag/wire.js'
import { FakeKernel } from '../../src/testing/index.js'
import { attributesOf, type Content, messages, mutated, pick, random } from './hostile.js'

/** How calls ended that were answered with hostile bytes. */
export const calls = { value: 0, refused: 0 }

async function counted(work: () => Promise<unknown>): Promise<void> {
  if ((await outcomeOf(work)) === 'refused') calls.refused++
  else calls.value++
}

/** Refused by the kernel, or impossible to read: anything else is thrown on. */
async function outcomeOf<T>(work: () => Promise<T>): Promise<{ readonly value: T } | 'refused'> {
  try {
    return { value: await work() }
  } catch (error) {
    checkTyped(error)
    return 'refused'
  }
}

function checkTyped(error: unknown): void {
  const kinds = [isMalformedMessageError, isKernelError, isUnsupportedError, isBatchError]
  if (!kinds.some((isKind) => isKind(error))) throw error
}

/** Answers this many exchanges with what the fake kernel says, changed, or put behind messages for the same request. */
function beHostile(kernel: FakeKernel, content: Content | undefined, exchanges: number): void {
  const replies = (bytes: Uint8Array): Uint8Array => {
    if (random(3) === 0) return mutated(bytes)
    const asked = kernel.requests.slice(-8)
    return Uint8Array.from([...messages(content, () => pick(asked).sequence), ...bytes])
  }
  kernel.disturb(...Array.from({ length: exchanges }, () => ({ replies })))
}

async function throughRtnetlink(): Promise<void> {
  const kernel = new FakeKernel({ handle: () => [], strays: random(2) === 0 })
  const rt = await Rtnetlink.open({ transport: kernel })
  const [call, content] = pick([
    [() => rt.links.list(), links],
    [() => rt.links.get(1), links],
    [() => rt.links.get('eth0'), links],
    [() => rt.links.set('eth0', { mtu: 1500 }), links],
    [() => rt.addresses.list(), addresses],
    [() => rt.routes.list({ family: 'ipv4', table: 'all' }), routes],
    [() => rt.rules.list(), rules],
    [() => rt.neighbours.list({ device: 1 }), neighbours],
    [() => rt.links.delete('eth0'), links],
  ] as const)
  beHostile(kernel, content, 4)
  await counted(call)
  rt.close()
}

const links: Content = { types: [message.newLink], headerBytes: linkHeader.bytes, table: link }
const addresses: Content = { types: [message.newAddress], headerBytes: addressHeader.bytes, table: address }
const routes: Content = { types: [message.newRoute], headerBytes: routeHeader.bytes, table: route }
const rules: Content = { types: [message.newRule], headerBytes: ruleHeader.bytes, table: rule }
const neighbours: Content = {
  types: [message.newNeighbour],
  headerBytes: neighbourHeader.bytes,
  table: neighbour,
}
const controller: Content = { types: [GENL_ID_CTRL], headerBytes: GENL_HDRLEN, table: familyTable }
const ofIpvs = (table: Content['table']): Content => ({ types: [0x1b], headerBytes: GENL_HDRLEN, table })
const top = ofIpvs(ipvsTables.top)
const info = ofIpvs(ipvsTables.info)

function ipvsKernel(): FakeKernel {
  const handle = (): [] => []
  return new FakeKernel({ families: [{ name: IPVS_GENL_NAME, handle }], strays: random(2) === 0 })
}

const web = { protocol: 'tcp', address: '192.0.2.1', port: 80 } as const
const real = { address: '10.0.0.1', port: 80 }

async function throughIpvs(): Promise<void> {
  const kernel = ipvsKernel()
  if (random(8) === 0) beHostile(kernel, controller, 1)
  const opened = await outcomeOf(() => Ipvs.open({ transport: kernel }))
  if (opened === 'refused') return
  const ipvs = opened.value
  beHostile(kernel, top, 10)
  await counted(
    pick([
      () => ipvs.services(),
      () => ipvs.service(web),
      () => ipvs.list(),
      () => ipvs.destinations(web),
      () => ipvs.timeouts(),
      () => ipvs.daemons(),
      () => ipvs.createService(web),
      () => ipvs.setDestination(web, real),
      () => ipvs.setTimeouts({ tcpSeconds: 60 }),
      () => ipvs.stopDaemon('master'),
      () => ipvs.zero(),
    ]),
  )
  ipvs.close()
}

const operations: readonly IpvsOperation[] = [
  { operation: 'createService', service: web },
  { operation: 'setService', service: { ...web, scheduler: 'rr' } },
  { operation: 'createDestination', service: web, destination: real },
  { operation: 'deleteDestination', service: web, destination: real },
  { operation: 'deleteService', service: web },
]

/** Whatever comes back, every operation was applied, or failed by an error with a type. */
async function throughBatch(): Promise<void> {
  const kernel = ipvsKernel()
  const ipvs = await Ipvs.open({ transport: kernel })
  if (random(8) === 0) beHostile(kernel, controller, 1)
  else kernel.disturb(undefined)
  beHostile(kernel, undefined, 3)
  const list = Array.from({ length: 1 + random(40) }, () => pick(operations))
  const outcome = await outcomeOf(() => ipvs.apply(list))
  ipvs.close()
  if (outcome === 'refused') return
  const { applied, failures, notSent } = outcome.value
  if (applied + failures.length !== list.length || notSent !== 0) {
    throw new Error(`${applied} applied and ${failures.length} failed of ${list.length}`)
  }
  for (const { error } of failures) checkTyped(error)
}

async function throughFamily(): Promise<void> {
  const kernel = ipvsKernel()
  const connection = new Connection(kernel)
  if (random(2) === 0) beHostile(kernel, controller, 1)
  const opened = await outcomeOf(() => GenericFamily.open(connection, IPVS_GENL_NAME, IPVS_GENL_VERSION))
  if (opened !== 'refused') {
    const family = opened.value
    family.multicastGroup('none')
    beHostile(kernel, pick([info, controller]), 4)
    await counted(pick([() => readInfo(family), () => family.refresh()]))
    // What was told of it before must not stand in the way of asking again.
    await outcomeOf(() => family.refresh())
  }
  connection.close()
}

const ofConntrack = (type: number, table: Content['table']): Content => ({
  types: [type],
  headerBytes: 4,
  table,
})
const flows = ofConntrack(0x100, flowTables.conntrack)
const tcpKey = { protocol: 'tcp', source: '10.0.0.1', destination: '10.0.0.2' } as const

async function throughConntrack(): Promise<void> {
  const kernel = new FakeKernel({ handle: () => [], strays: random(2) === 0 })
  const conntrack = await Conntrack.open({ transport: kernel })
  const [call, content] = pick([
    [() => conntrack.list(), flows],
    [() => conntrack.count({ reply: { source: '10.0.0.0/8' } }), flows],
    [() => conntrack.get(tcpKey), flows],
    [() => conntrack.deleteMatching({}), flows],
    [() => conntrack.update(tcpKey, { mark: 1 }), flows],
    [() => conntrack.usage(), ofConntrack(0x105, flowTables.globalStatistics)],
    [() => conntrack.statistics(), ofConntrack(0x104, flowTables.cpuStatistics)],
    [() => conntrack.expectations.list(), ofConntrack(0x200, flowTables.expectation)],
  ] as const)
  beHostile(kernel, content, 6)
  await counted(call)
  conntrack.close()
}

const sockets: Content = { types: [20], headerBytes: socketReply.bytes, table: socketAttributes }

async function throughSockdiag(): Promise<void> {
  const kernel = new FakeKernel({ handle: () => [], strays: random(2) === 0 })
  const sockdiag = await Sockdiag.open({ transport: kernel })
  beHostile(kernel, sockets, 6)
  await counted(
    pick([
      () => sockdiag.sockets({ protocol: 'tcp', remoteAddress: '10.0.0.0/8' }),
      () => sockdiag.sockets({ protocol: 'udp', family: 'ipv6' }),
      () => sockdiag.destroyMatching({ protocol: 'tcp' }),
    ]),
  )
  sockdiag.close()
}

const ofNftables = (type: number, table: Content['table']): Content => ({
  types: [(10 << 8) | type],
  headerBytes: 4,
  table,
})
const { message: nft } = nftWire
const nftTables = ofNftables(nft.newTable, nftWire.table)
const nftChains = ofNftables(nft.newChain, nftWire.chain)
const nftRules = ofNftables(nft.newRule, nftWire.rule)
const nftSets = ofNftables(nft.newSet, nftWire.set)
const nftElements = ofNftables(nft.newElements, nftWire.elements)
const nftObjects = ofNftables(nft.newObject, nftWire.object)
const nftFlowtables = ofNftables(nft.newFlowtable, nftWire.flowtable)
const nftGenerations = ofNftables(nft.newGeneration, nftWire.generation)
const nftTraces = ofNftables(nft.trace, nftWire.trace)
const ofRulesets = [
  nftTables,
  nftChains,
  nftRules,
  nftSets,
  nftElements,
  nftObjects,
  nftFlowtables,
  nftGenerations,
] as const

const inTable = { family: 'inet', table: 't' } as const
const someElements = {
  ...inTable,
  set: 's',
  autoMerge: true,
  elements: [{ key: Uint8Array.of(1, 2) }, { key: Uint8Array.of(2, 2), flags: ['interval-end'] }],
} as const

/** Rules that were read are printed, too: whatever is in them has words. */
async function printed(rules: Promise<readonly Rule[]>): Promise<readonly string[]> {
  return (await rules).flatMap((rule) => [formatRule(rule), printRule(rule)])
}

async function throughNftables(): Promise<void> {
  const kernel = new FakeKernel({ handle: () => [], strays: random(2) === 0 })
  const nftables = await Nftables.open({ transport: kernel })
  const change = nftables
    .transaction()
    .add('table', { family: 'inet', name: 't' })
    .add('rule', { ...inTable, chain: 'c', expressions: [{ name: 'counter' }] })
  const [call, content] = pick([
    [() => nftables.generation(), nftGenerations],
    [() => nftables.tables(), nftTables],
    [() => nftables.chains(), nftChains],
    [() => printed(nftables.rules()), nftRules],
    [() => printed(nftables.resetRules()), nftRules],
    [() => nftables.sets(), nftSets],
    [() => nftables.elements({ ...inTable, name: 's' }), nftElements],
    [() => nftables.resetElements({ ...inTable, name: 's' }), nftElements],
    [() => nftables.objects(), nftObjects],
    [() => nftables.resetObjects(), nftObjects],
    [() => nftables.flowtables(), nftFlowtables],
    [async () => printRuleset(await nftables.ruleset()), pick(ofRulesets)],
    [() => change.commit({ echo: true }), pick([nftTables, nftRules])],
    [() => change.check(), nftTables],
    [() => change.destroy('table', { family: 'inet', name: 'u' }).commit(), nftTables],
    [() => change.add('elements', someElements).commit(), nftElements],
    [() => change.destroy('elements', someElements).commit(), nftElements],
  ] as const)
  beHostile(kernel, content, 30)
  await counted(call)
  nftables.close()
}

/** What is told to who listens, until it cannot be read or the socket is at its end. */
async function throughListening(): Promise<void> {
  const isTrace = random(3) === 0
  const transport: Transport = {
    exchange: () => Promise.resolve({ bytes: new Uint8Array(), lost: false }),
    close: () => undefined,
    subscribe(_, listener) {
      queueMicrotask(() => {
        for (let datagrams = random(4); datagrams > 0; datagrams--) {
          if (random(6) === 0) listener({ overrun: true })
          listener({ bytes: messages(isTrace ? nftTraces : pick(ofRulesets), () => 0) })
        }
        listener({ error: new KernelError({ errno: -9, operation: 'recvmsg' }) })
      })
      return () => undefined
    },
  }
  const kernel = new FakeKernel({ handle: () => [] })
  const nftables = await Nftables.open({
    transport: { ...transport, exchange: kernel.exchange.bind(kernel) },
  })
  await counted(async () => {
    try {
      for await (const event of isTrace ? nftables.trace() : nftables.monitor()) {
        if (event.event === 'made' && event.kind === 'rule') formatRule(event.object as Rule)
      }
    } catch (error) {
      if (!isKernelError(error, 'EBADF')) throw error
    }
  })
  nftables.close()
}

export const clients = [
  throughRtnetlink,
  throughIpvs,
  throughBatch,
  throughFamily,
  throughConntrack,
  throughSockdiag,
  throughNftables,
  throughListening,
] as const

/** Events as a subscriber reads them: the bytes of a datagram, without a request that they would belong to. */
export function throughEvents(): Uint8Array {
  const content = pick([
    links,
    addresses,
    routes,
    rules,
    neighbours,
    controller,
    flows,
    ...ofRulesets,
    nftTraces,
  ])
  const bytes = messages(content, () => 0)
  const view = viewOf(bytes)
  forEachMessage(bytes, view, (type, _flags, _sequence, offset, end) => {
    if (!content.types.includes(type) || offset + content.headerBytes > end) return
    if (content === flows) readFlow(bytes, view, offset, end)
    else if (type >> 8 === 10 && content !== nftTraces) readNftObject(bytes, view, offset, end, type)
    else content.table.decode(bytes, view, offset + content.headerBytes, end)
  })
  return bytes
}

/** One that the rule speaks of, with any types. */
function hostileSet(family: Family, { table, expressions = [] }: Rule): NftSet {
  const name =
    expressions.map((one) => (one as { readonly set?: string }).set).find((set) => set !== undefined) ?? 's'
  return {
    family,
    table,
    name,
    flags: pick([['anonymous'], ['anonymous', 'interval'], ['anonymous', 'map'], []] as const),
    keyType: random(1 << 18),
    keyLength: random(80),
    dataType: pick([undefined, random(1 << 12), 0xffff_ff00]),
    dataLength: random(80),
    userData: attributesOf(nftWire.element),
  }
}

/** What other programs keep with objects, and rules and intervals of which anything may be missing. */
export function throughWords(): Uint8Array {
  const bytes = attributesOf(pick([nftWire.rule, nftWire.elements]))
  for (const kind of ['rule', 'set', 'element'] as const) commentOf(kind, bytes)
  isAutoMerge(bytes)
  const [rule, elements] = [nftWire.rule, nftWire.elements].map(
    (table) => () => table.decode(bytes, viewOf(bytes), 0, bytes.length),
  )
  const family = pick(['inet', 'ip', 'ip6', 'bridge', 'netdev', 'arp'] as const)
  const readRule = kinds.rule.read(family, rule!())
  formatRule(readRule)
  const readElements = kinds.elements.read(family, elements!())
  new MergedSet(readElements.elements).delete([], true)
  printRule(readRule, { known: { sets: [hostileSet(family, readRule)], elements: [readElements] } })
  return bytes
}
