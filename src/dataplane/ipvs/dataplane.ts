import type { Conntrack, Flow } from '../../conntrack/index.js'
import { isBatchError, ValidationError } from '../../errors/index.js'
import { serviceId } from '../../ipvs/input.js'
import { Ipvs, type ServiceEntry } from '../../ipvs/index.js'
import type { Condition, ServiceChange, VirtualService } from '../../model/index.js'
import type { Transport } from '../../netlink/index.js'
import { Rtnetlink } from '../../rtnetlink/index.js'
import type {
  Applied,
  ApplyOptions,
  Capabilities,
  Dataplane,
  DataplaneOptions,
  DataplanePlan,
  ProgrammedService,
  ServiceStatistics,
  SynchronizeOptions,
} from '../dataplane.js'
import { type BaseStep, baseSteps } from './base.js'
import { changesOf, countOf, linesOf } from './changes.js'
import { describe, type Description, placesOf, type Surroundings } from './describe.js'
import { Drainer } from './drainer.js'
import { execute, type Outcome } from './execute.js'
import {
  type DestinationItem,
  type EntryItem,
  type Item,
  type Items,
  entryName,
  hexOf,
  isSame,
  serviceName,
} from './items.js'
import { firstMark, firstServerMark, kindsOfEntries, mostServices, trait } from './words.js'
import { Numbers } from './numbers.js'
import { availableSchedulers, forwardingOf, openConntrack, openTables, otherOwners } from './opening.js'
import { programmedOf } from './programmed.js'
import { claimOf, type Clients, type Found, readKernel } from './reading.js'
import { SchedulerProbe } from './scheduler-probe.js'
import { readInterface } from './interface.js'
import { deviceOf, type Settings, settingsOf } from './settings.js'
import { sparedIn } from './spared.js'
import { Challenges } from '../challenges.js'
import { StaleFlows } from '../stale-flows.js'
import { statisticsOf } from './statistics.js'
import { surroundingsOf } from './surroundings.js'
import { tearDown } from './teardown.js'
import { differences, Wanted } from './wanted.js'
import { watchKernel } from './watching.js'

/**
 * Virtual services by IPVS, with a table of nf_tables beside it for what IPVS cannot say. Close it, or use `await using`:
 * what it has programmed goes on forwarding. `transport` opens what stands in for the addon's sockets.
 *
 * @throws UnsupportedError if the kernel has no IPVS. Without nf_tables it opens, and `capabilities.missing` says so.
 */
export async function openIpvsDataplane(
  options: DataplaneOptions = {},
  transport?: TransportOf,
): Promise<Dataplane> {
  return IpvsDataplane.open(options, transport)
}

/** Opens what stands in for one of the addon's sockets. */
export type TransportOf = (protocol: 'generic' | 'route' | 'netfilter') => Transport

/** What is known of the kernel, until somebody else changes it. */
interface Known {
  readonly present: Map<string, Item>
  readonly foreign: Set<string>
  readonly around: Surroundings
  /** Claims of before, by the ids of IPVS's services: whose number a virtual service takes up again. */
  readonly marks: ReadonlyMap<string, number>
  /** The same of servers that clients stay with, by the keys of their elements. */
  readonly serverMarks: ReadonlyMap<string, number>
  readonly takenMarks: ReadonlySet<number>
}

/** How far a change reaches beyond what it names. */
interface Reach {
  readonly everything: boolean
  readonly keepUnknown: boolean
}

const nothing: ReadonlySet<string> = new Set()

/** What came of one round. */
interface Done extends Outcome {
  readonly writes: number
}

class IpvsDataplane implements Dataplane {
  readonly kind = 'ipvs'
  readonly #clients: Clients
  readonly #conntrack: Conntrack | undefined
  readonly #settings: Settings
  readonly #schedulers: SchedulerProbe
  readonly #drainer: Drainer
  readonly #challenges: Challenges
  readonly #missing: readonly Condition[]
  readonly #wanted = new Wanted()
  readonly #services = new Map<string, VirtualService>()
  readonly #numbers = new Numbers(mostServices)
  readonly #serverNumbers = new Numbers(mostServices)
  readonly #watches = new Set<() => void>()
  #known: Known | undefined
  /** What was under way when it ended, or has been lost sight of: looked at with the next change. */
  #owed = new Set<string>()
  /** Whether it was told of all services once: what nobody wants is then nobody's. Until then it may be an earlier process's. */
  #isWhole = false
  #isSynchronized = false
  /** Goes up with every change that is made here: a look that began before it says nothing. */
  #version = 0
  #turn: Promise<unknown> = Promise.resolve()

  private constructor(
    clients: Clients,
    conntrack: Conntrack | undefined,
    settings: Settings,
    missing: readonly Condition[],
  ) {
    this.#clients = clients
    this.#conntrack = conntrack
    this.#settings = settings
    this.#schedulers = new SchedulerProbe(clients.ipvs)
    this.#challenges = new Challenges(settings.netns)
    this.#missing = missing
    this.#drainer = new Drainer(clients.ipvs, (look) =>
      this.#exclusively(async () => {
        const gone = await look()
        if (gone.length > 0) this.#version++
        for (const name of gone) this.#known?.present.delete(name)
      }),
    )
  }

  get capabilities(): Capabilities {
    return {
      kind: 'ipvs',
      schedulers: availableSchedulers(),
      statistics: { connections: true, packets: true },
      missing: [...this.#missing, ...this.#challenges.missing],
    }
  }

  static async open(options: DataplaneOptions, transport?: TransportOf): Promise<IpvsDataplane> {
    const { netns } = options
    settingsOf(options, [])
    const opened: { close(): void }[] = []
    const keep = <T extends { close(): void }>(client: T): T => {
      opened.push(client)
      return client
    }
    try {
      const ipvs = keep(await Ipvs.open({ netns, transport: transport?.('generic') }))
      const rtnetlink = keep(await Rtnetlink.open({ netns, transport: transport?.('route') }))
      const { reachable } = await readInterface(rtnetlink, deviceOf(options))
      const settings = settingsOf(options, reachable)
      const missing: Condition[] = []
      const nftables = await openTables(settings, missing, transport?.('netfilter'))
      if (nftables !== undefined) keep(nftables)
      const conntrack = await openConntrack(settings, missing)
      if (conntrack !== undefined) keep(conntrack)
      missing.push(...forwardingOf(settings), ...(await otherOwners(rtnetlink, netns)))
      return new IpvsDataplane({ ipvs, rtnetlink, nftables }, conntrack, settings, missing)
    } catch (error) {
      for (const client of opened) client.close()
      throw error
    }
  }

  plan(change: ServiceChange): Promise<DataplanePlan> {
    return this.#exclusively(async () => {
      const lines: string[] = []
      const { known, steps } =
        this.#known === undefined ? await this.#look() : { known: this.#known, steps: [] }
      lines.push(...steps.map(({ line }) => line))
      const { described, failures } = this.#describeAll(change, known)
      const step = stepOf(change, described)
      const before = new Map([...step.keys()].map((key) => [key, this.#wanted.itemsOf(key)]))
      const touched = this.#wanted.set(step)
      if (!this.#isWhole) for (const name of this.#unwanted(known, this.#isSynchronized)) touched.add(name)
      const changes = changesOf(differences(touched, this.#wanted, known.present), failedIn(described))
      this.#wanted.set(before)
      lines.push(...linesOf(changes))
      for (const [key, error] of failures) lines.push(`# ${key}: ${error.message}`)
      return { writes: steps.length + countOf(changes), toString: () => lines.join('\n') }
    })
  }

  apply(change: ServiceChange, { signal }: ApplyOptions = {}): Promise<Applied> {
    return this.#exclusively(async () => {
      signal?.throwIfAborted()
      const base = await this.#prepare()
      const applied = await this.#change(change, { everything: false, keepUnknown: !this.#isWhole })
      return { ...applied, writes: applied.writes + base }
    })
  }

  synchronize(
    services: Iterable<VirtualService>,
    { signal, keepUnknown = false }: SynchronizeOptions = {},
  ): Promise<Applied> {
    return this.#exclusively(async () => {
      signal?.throwIfAborted()
      this.#known = undefined
      const base = await this.#prepare()
      const upserted = [...services]
      const keys = new Set(upserted.map(({ key }) => key))
      const deleted = [...this.#wanted.keys].filter((key) => !keys.has(key))
      const keeps = keepUnknown && !this.#isWhole
      const applied = await this.#change({ upserted, deleted }, { everything: true, keepUnknown: keeps })
      this.#isWhole = !keeps
      this.#isSynchronized = true
      return { ...applied, writes: applied.writes + base }
    })
  }

  repair({ signal }: ApplyOptions = {}): Promise<Applied> {
    return this.#exclusively(async () => {
      signal?.throwIfAborted()
      // IPVS tells nobody what was changed: all of it is looked at.
      this.#known = undefined
      const base = await this.#prepare()
      const all = { everything: true, keepUnknown: !this.#isWhole }
      const applied = await this.#change({ upserted: [], deleted: [] }, all)
      return { ...applied, writes: applied.writes + base }
    })
  }

  read(): Promise<ProgrammedService[]> {
    return this.#exclusively(async () => programmedOf(await this.#readKernel()))
  }

  stats(key?: string): Promise<ServiceStatistics[]> {
    return this.#exclusively(async () => {
      const byId = new Map<string, ServiceEntry>()
      for (const entry of await this.#clients.ipvs.list()) byId.set(serviceId(entry.service), entry)
      const keys = key === undefined ? [...this.#wanted.keys] : [key]
      return keys.flatMap((one) => {
        const items = this.#wanted.itemsOf(one)
        if (items === undefined) return []
        const entries = [...items.values()].flatMap((item) => {
          const entry = item.kind === 'service' ? byId.get(serviceId(item.service)) : undefined
          return entry === undefined ? [] : [entry]
        })
        return [statisticsOf(one, entries)]
      })
    })
  }

  watch(changed: () => void): () => void {
    const stop = watchKernel({
      look: () =>
        this.#exclusively(async () => {
          const known = this.#known
          if (known === undefined) return true
          const version = this.#version
          const found = await this.#readKernel()
          return version !== this.#version || isAsKnown(found, known, this.#clients, this.#settings)
        }),
      changed: () => {
        this.#known = undefined
        changed()
      },
    })
    this.#watches.add(stop)
    return () => {
      this.#watches.delete(stop)
      stop()
    }
  }

  close(): void {
    this.#drainer.close()
    for (const stop of this.#watches) stop()
    this.#watches.clear()
    this.#clients.ipvs.close()
    this.#clients.rtnetlink.close()
    this.#clients.nftables?.close()
    this.#challenges.close()
    this.#conntrack?.close()
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- nothing of it takes time
  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }

  teardown(): Promise<boolean> {
    return this.#exclusively(async () => {
      this.#drainer.close()
      const found = await this.#readKernel()
      const wasThere = await tearDown(this.#clients, this.#settings, found)
      this.#wanted.set(new Map([...this.#wanted.keys].map((key) => [key, undefined])))
      this.#services.clear()
      this.#isWhole = false
      this.#known = undefined
      this.#version++
      return wasThere
    })
  }

  /** One after the other: each relies on what the one before has found and made. */
  #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work)
    this.#turn = result.catch(() => undefined)
    return result
  }

  #readKernel(): Promise<Found> {
    const isOwn = (id: string): boolean => this.#wanted.item(serviceName(id)) !== undefined
    return readKernel(this.#clients, this.#settings, isOwn)
  }

  /** Reads what is there, and makes nothing. */
  async #look(): Promise<{ readonly known: Known; readonly steps: readonly BaseStep[] }> {
    const found = await this.#readKernel()
    const marks = new Map<string, number>()
    for (const [id, { mark }] of found.claims) marks.set(id, mark)
    for (const { service } of found.entries) this.#schedulers.see(service.scheduler)
    const foreign = new Set(found.foreign)
    const known: Known = {
      present: found.items,
      foreign,
      around: surroundingsOf(this.#settings, found, this.#clients.nftables !== undefined, foreign),
      marks,
      serverMarks: found.serverMarks,
      takenMarks: new Set([...marks.values(), ...found.serverMarks.values()]),
    }
    return { known, steps: baseSteps(this.#clients, this.#settings, found) }
  }

  /** Reads what is there if that is not known, and makes what services stand on. Returns how many messages that took. */
  async #prepare(): Promise<number> {
    if (this.#known !== undefined) return 0
    const { known, steps } = await this.#look()
    this.#version++
    for (const { run } of steps) await run()
    for (const name of this.#wanted.names) this.#owed.add(name)
    this.#known = known
    return steps.length
  }

  /** What nobody wants goes, too, unless it is unknown and that is kept. */
  async #change(change: ServiceChange, { everything, keepUnknown }: Reach): Promise<Applied> {
    let known = this.#known!
    const upserted = new Map(change.upserted.map((service) => [service.key, service]))
    const { described, failures } = this.#describeAll(change, known)
    const conditions = new Map<string, readonly Condition[]>()
    let writes = 0
    for (const [key, { items }] of described) {
      const error = await this.#checkSchedulers(items)
      if (error === undefined) continue
      failures.set(key, error)
      described.delete(key)
    }
    this.#refuseKept(change.deleted, described, failures)
    const before = new Map([...described.keys()].map((key) => [key, this.#wanted.itemsOf(key)]))
    let step: ReadonlyMap<string, Items | undefined> = stepOf(change, described)
    const failed = failedIn(described)
    // With its connections IPVS deletes their flows: who their clients are is asked before.
    const ended = await this.#endFlows(upserted, described, known.around)
    let isRestLooked = everything
    for (let attempt = 1; ; attempt++) {
      const touched = this.#wanted.set(step)
      for (const name of this.#owed) touched.add(name)
      // Those, too, that are being drained.
      for (const name of failed) touched.add(name)
      if (isRestLooked) for (const name of this.#wanted.names) touched.add(name)
      if (isRestLooked || keepUnknown)
        for (const name of this.#unwanted(known, keepUnknown)) touched.add(name)
      let done: Done
      try {
        done = await this.#execute(touched, known, failed)
      } catch (error) {
        // Something is not as it was left: it is read, and what differs from that is done.
        if (!isBatchError(error) || attempt > 1) throw error
        writes += await this.#prepare()
        known = this.#known!
        continue
      }
      isRestLooked = false
      writes += done.writes
      const again = new Map<string, Items | undefined>()
      for (const key of keysOf(done.taken.map(serviceName), step)) {
        const description = this.#describe(upserted.get(key)!, known)
        described.set(key, description)
        again.set(key, description.items)
      }
      for (const [name, error] of done.failures) {
        const keys = keysOf([name], step)
        // What was to go, or is nobody's of this change.
        if (keys.size === 0) {
          this.#known = undefined
          throw error
        }
        for (const key of keys) {
          failures.set(key, error)
          described.delete(key)
          again.set(key, before.get(key))
        }
      }
      // Who has got a frontend of theirs meanwhile gives it back.
      for (const [key, items] of again) {
        if (described.has(key)) continue
        for (const [name, { kind }] of items ?? []) {
          const taker = kind === 'service' ? this.#wanted.ownerOf(name) : undefined
          if (taker === undefined || taker === key || !described.has(taker)) continue
          failures.set(taker, new ValidationError('frontends', name, `a frontend that ${key} does not have`))
          described.delete(taker)
          again.set(taker, before.get(taker))
        }
      }
      if (again.size === 0) break
      // What could not be made a second time is left as it is, and is told: the next synchronisation sees to it.
      if (attempt === 3) {
        this.#known = undefined
        break
      }
      step = again
    }
    ended.push(...(await this.#forgetFlows(change, upserted, described, known.around)))
    await this.#challenges.send(ended)
    for (const key of change.deleted) if (!upserted.has(key)) this.#numbers.release(key)
    for (const [key, description] of described) conditions.set(key, description.conditions)
    return { writes, failures, conditions }
  }

  /** What is there and nobody wants, but for what is spared. */
  #unwanted({ present, around }: Known, keepUnknown: boolean): string[] {
    const isWanted = (name: string): boolean => this.#wanted.item(name) !== undefined
    const isOfSomebody = (mark: number): boolean => this.#numbers.isUsed(mark - firstMark)
    const spared = keepUnknown
      ? sparedIn(present, { hasTable: around.hasTable, isOfSomebody, isWanted })
      : nothing
    const unwanted: string[] = []
    for (const name of present.keys()) if (!isWanted(name) && !spared.has(name)) unwanted.push(name)
    return unwanted
  }

  async #execute(touched: Set<string>, known: Known, failed: ReadonlySet<string>): Promise<Done> {
    const { present } = known
    const changes = changesOf(differences(touched, this.#wanted, present), failed)
    // Whatever is interrupted from here on leaves something that is not known.
    this.#known = undefined
    this.#owed = touched
    this.#version++
    const { failures, taken } = await execute(this.#clients, changes, this.#settings, async (claims) => {
      await this.#deleteFlows(flowsOfClaims(claims))
    })
    for (const id of taken) known.foreign.add(id)
    const draining = new Set(changes.draining.map(({ name }) => name))
    const isTaken = new Set(taken)
    for (const { wanted, present: old } of differences(touched, this.#wanted, present)) {
      const item = wanted ?? old
      if (item === undefined) continue
      const { name } = item
      if (failures.has(name) || ('serviceId' in item && isTaken.has(item.serviceId))) continue
      if (wanted !== undefined) {
        present.set(name, wanted)
        if (wanted.kind === 'destination') this.#drainer.forget(wanted)
      } else if (draining.has(name)) present.set(name, withoutWeight(item as DestinationItem))
      else {
        present.delete(name)
        this.#releaseServer(item)
        if (item.kind !== 'service') continue
        for (const left of this.#drainer.forgetService(item.service)) present.delete(left)
      }
    }
    this.#drainer.add(changes.draining)
    this.#owed = new Set()
    this.#known = known
    return { writes: countOf(changes), failures, taken }
  }

  /** Those of servers that have failed. */
  #endFlows(
    upserted: ReadonlyMap<string, VirtualService>,
    described: ReadonlyMap<string, Description>,
    { nodePortAddresses }: Surroundings,
  ): Promise<Flow[]> {
    const stale = new StaleFlows(nodePortAddresses)
    for (const key of described.keys()) stale.fail(this.#services.get(key), upserted.get(key))
    return this.#deleteFlows(stale)
  }

  /** Of UDP: they would go on to where they went before. Those of claims that went were deleted with them. */
  async #forgetFlows(
    { deleted }: ServiceChange,
    upserted: ReadonlyMap<string, VirtualService>,
    described: ReadonlyMap<string, Description>,
    { nodePortAddresses, hasTable }: Surroundings,
  ): Promise<Flow[]> {
    const stale = new StaleFlows(nodePortAddresses)
    for (const key of described.keys()) {
      const service = upserted.get(key)!
      stale.changed(this.#services.get(key), service)
      this.#services.set(key, service)
    }
    for (const key of deleted) {
      const service = this.#services.get(key)
      if (service === undefined || upserted.has(key)) continue
      if (!hasTable) stale.changed(service, undefined)
      this.#services.delete(key)
    }
    return await this.#deleteFlows(stale)
  }

  async #deleteFlows(stale: StaleFlows): Promise<Flow[]> {
    return this.#conntrack === undefined || stale.isEmpty ? [] : await stale.delete(this.#conntrack)
  }

  async #checkSchedulers(items: Items): Promise<Error | undefined> {
    for (const item of items.values()) {
      if (item.kind !== 'service') continue
      try {
        await this.#schedulers.check(item.service.scheduler ?? '')
      } catch (error) {
        return error as Error
      }
    }
    return undefined
  }

  #describeAll(
    { upserted, deleted }: ServiceChange,
    known: Known,
  ): { readonly described: Map<string, Description>; readonly failures: Map<string, Error> } {
    const described = new Map<string, Description>()
    const failures = new Map<string, Error>()
    const going = new Set([...deleted, ...upserted.map(({ key }) => key)])
    const claimed = new Map<string, string>()
    for (const service of upserted) {
      try {
        const description = this.#describe(service, known)
        this.#refuseTwice(service.key, description.items, going, claimed)
        described.set(service.key, description)
      } catch (error) {
        failures.set(service.key, error as Error)
      }
    }
    this.#refuseKept(deleted, described, failures)
    return { described, failures }
  }

  /** Who fails stays as it was, and nobody gets a frontend that it would have left. */
  #refuseKept(
    deleted: readonly string[],
    described: Map<string, Description>,
    failures: Map<string, Error>,
  ): void {
    const going = new Set(deleted)
    const isKept = (owner: string): boolean => failures.has(owner) && !going.has(owner)
    for (let isOver = false; !isOver;) {
      isOver = true
      for (const [key, { items }] of described) {
        const error = this.#taker(key, items, isKept)
        if (error === undefined) continue
        failures.set(key, error)
        described.delete(key)
        isOver = false
      }
    }
  }

  #taker(key: string, items: Items, isKept: (owner: string) => boolean): ValidationError | undefined {
    for (const [name, item] of items) {
      const owner = item.kind === 'service' ? this.#wanted.ownerOf(name) : undefined
      if (owner !== undefined && owner !== key && isKept(owner)) {
        return new ValidationError('frontends', name, `a frontend that ${owner} does not have`)
      }
    }
    return undefined
  }

  /** @throws ValidationError where another virtual service has the same frontend */
  #refuseTwice(key: string, items: Items, going: ReadonlySet<string>, claimed: Map<string, string>): void {
    for (const [name, item] of items) {
      if (item.kind !== 'service') continue
      const owner = this.#wanted.ownerOf(name)
      const other = claimed.get(name) ?? (owner !== undefined && going.has(owner) ? undefined : owner)
      if (other !== undefined && other !== key) {
        throw new ValidationError('frontends', name, `a frontend that ${other} does not have`)
      }
    }
    for (const [name, item] of items) if (item.kind === 'service') claimed.set(name, key)
  }

  #describe(service: VirtualService, known: Known): Description {
    const marks = {
      service: firstMark + this.#numberOf(service, known),
      ofServer: (key: Uint8Array): number => firstServerMark + this.#serverNumberOf(hexOf(key), known),
    }
    return describe(service, marks, known.around)
  }

  #numberOf(service: VirtualService, { marks, takenMarks, around }: Known): number {
    const places = placesOf(service, around)
    const before = places.map(
      ({ address, port }) =>
        (marks.get(serviceId({ protocol: service.protocol, address, port })) ?? 0) - firstMark,
    )
    return this.#numbers.of(service.key, before, (number) => takenMarks.has(firstMark + number))
  }

  /** By the key of its element, which has the number of the virtual service in it. */
  #serverNumberOf(key: string, { serverMarks, takenMarks }: Known): number {
    const before = (serverMarks.get(key) ?? 0) - firstServerMark
    return this.#serverNumbers.of(key, [before], (number) => takenMarks.has(firstServerMark + number))
  }

  /** What is neither among all servers nor among those of the node needs no number any more. */
  #releaseServer(item: Item): void {
    if (item.kind !== 'entry' || !/^(local-)?servers[46]$/.test(item.set)) return
    const other = item.set.startsWith('local-') ? item.set.slice('local-'.length) : `local-${item.set}`
    if (this.#wanted.item(entryName(other, item.element)) === undefined) {
      this.#serverNumbers.release(hexOf(item.element.key!))
    }
  }
}

/** Services that go have no items. One that goes and comes in one change comes. */
function stepOf(
  { deleted }: ServiceChange,
  described: ReadonlyMap<string, Description>,
): Map<string, Items | undefined> {
  const step = new Map<string, Items | undefined>(deleted.map((key) => [key, undefined]))
  for (const [key, { items }] of described) step.set(key, items)
  return step
}

function failedIn(described: ReadonlyMap<string, Description>): Set<string> {
  return new Set([...described.values()].flatMap(({ failed }) => failed))
}

function keysOf(names: readonly string[], step: ReadonlyMap<string, Items | undefined>): Set<string> {
  const keys = new Set<string>()
  for (const [key, items] of step) if (names.some((name) => items?.has(name))) keys.add(key)
  return keys
}

/** Of UDP that is nobody's any more, as the table had it. */
function flowsOfClaims(claims: readonly EntryItem[]): StaleFlows {
  const stale = new StaleFlows([])
  for (const { set, element } of claims) {
    const found = kindsOfEntries.get(set)
    if (found?.kind !== 'services') continue
    const claim = claimOf(found.words, element.key!, element.data)
    if (claim === undefined || claim.key.protocol !== 'udp' || (claim.traits & trait.foreign) !== 0) continue
    const { address, port } = claim.key
    stale.leftAt(claim.family, [{ address, port }])
  }
  return stale
}

function withoutWeight(item: DestinationItem): DestinationItem {
  return { ...item, destination: { ...item.destination, weight: 0 } }
}

/** Whether the kernel has what this process believes it to have. */
function isAsKnown(found: Found, { present }: Known, clients: Clients, settings: Settings): boolean {
  if (found.items.size !== present.size || baseSteps(clients, settings, found).length > 0) return false
  for (const [name, item] of found.items) {
    const known = present.get(name)
    if (known === undefined || !isSame(known, item)) return false
  }
  return true
}
