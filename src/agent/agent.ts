/** What `viaduct run` runs: from a configuration and manifests to packets, and whoever asks how things are. */
import { isDeepStrictEqual } from 'node:util'
import { openDataplane } from '../dataplane/index.js'
import type { DnsServer } from '../dns/index.js'
import { isKernelError, isUnsupportedError, ValidationError } from '../errors/index.js'
import { isSystemError } from '../errors/system.js'
import type { VirtualRouter } from '../edge/index.js'
import type { Netns } from '../net/index.js'
import { formatReference } from '../sources/index.js'
import { reasonOf } from './failure.js'
import type { AgentConfiguration } from './configuration.js'
import { connectionsOf } from './connections.js'
import { Drains, readServer } from './drains.js'
import { startDns } from './dns.js'
import { startRouter } from './edge.js'
import { Forwarding, nameOf, namespaceOf } from './forwarding.js'
import { applySettings, settingsBefore } from './kernel-settings.js'
import type { AgentLog } from './log.js'
import { nothingSaved, type SavedState, StateError, StateFile } from './state-file.js'
import { Views } from './views.js'

/** Objects that change in bursts are saved once. */
const saveAfterMilliseconds = 1000
const saveAgainMilliseconds = 10_000

export const defaultStateFile = '/var/lib/viaduct/state'

/** What an Agent is started with. */
export interface AgentOptions {
  readonly configuration: AgentConfiguration
  readonly log: AgentLog
  /** Ends the start. */
  readonly signal?: AbortSignal | undefined
}

/**
 * Keeps the kernel at what manifests say. Closing it leaves everything forwarding; only an address that is held as VRRP's master is
 * handed over.
 */
export class Agent {
  readonly #log: AgentLog
  readonly #drains: Drains
  readonly #state: StateFile | undefined
  #settings: Readonly<Record<string, string>>
  #configuration: AgentConfiguration
  #forwarding: Forwarding
  #router: VirtualRouter | undefined
  #dns: DnsServer | undefined
  #saveTimer: NodeJS.Timeout | undefined
  /** Of `performance.now()`. */
  #saveDueAt = 0
  #saveError: Error | undefined
  #isClosed = false
  /** Problems that were told, so that each is told once. */
  #told: ReadonlySet<string> = new Set()
  #turn: Promise<unknown> = Promise.resolve()
  readonly startedAt = new Date().toISOString()

  private constructor(
    { configuration, log }: AgentOptions,
    state: StateFile | undefined,
    saved: SavedState,
    drains: Drains,
    forwarding: Forwarding,
  ) {
    this.#configuration = configuration
    this.#log = log
    this.#state = state
    this.#settings = saved.settings
    this.#drains = drains
    this.#forwarding = forwarding
  }

  /**
   * Resolves when everything that could be read is programmed.
   * @throws what cannot be opened, or what the signal says: nothing is left open then, and what an earlier one programmed goes on
   */
  static async start(options: AgentOptions): Promise<Agent> {
    const { configuration, log, signal } = options
    const state = stateFileOf(configuration)
    const saved = await readSaved(state, log)
    const drains = new Drains(saved.drained.map(readServer))
    // What sources tell before everything is there is told by the first save and the first report.
    let changed = (): void => undefined
    let objectsChanged = (): void => undefined
    const forwarding = await Forwarding.open({
      configuration,
      saved,
      drains,
      log,
      changed: () => changed(),
      objectsChanged: () => objectsChanged(),
    })
    const agent = new Agent(options, state, saved, drains, forwarding)
    changed = () => agent.#tellProblems()
    objectsChanged = () => agent.#saveSoon()
    // What is waited for ends with it.
    const end = (): void => void forwarding.close()
    signal?.addEventListener('abort', end)
    try {
      await agent.#begin(signal)
    } catch (error) {
      await agent.close()
      throw signal?.aborted === true ? signal.reason : error
    } finally {
      signal?.removeEventListener('abort', end)
    }
    return agent
  }

  get configuration(): AgentConfiguration {
    return this.#configuration
  }

  /** What is asked for by `viaduct status` and the like. */
  get views(): Views {
    return new Views({
      startedAt: this.startedAt,
      configuration: this.#configuration,
      forwarding: this.#forwarding,
      router: this.#router,
      dns: this.#dns,
      drains: this.#drains,
      saveError: this.#saveError,
    })
  }

  /**
   * Goes on with another configuration. What it does not change is left alone, and what is forwarded goes on.
   * @throws what cannot be done: everything is as it was then, or as much of it as can be
   */
  reload(configuration: AgentConfiguration): Promise<void> {
    return this.#inTurn(async () => {
      const before = this.#configuration
      for (const path of ['state', 'control'] as const) {
        if (!isDeepStrictEqual(configuration[path], before[path]))
          throw new ValidationError(
            path,
            configuration[path],
            'what it was when it started (start it anew for another one)',
          )
      }
      try {
        await this.#change(configuration)
      } catch (error) {
        await this.#change(before).catch((again: unknown) =>
          this.#log.error({ error: reasonOf(again) }, 'of what ran before not all can be begun again'),
        )
        throw error
      }
      this.#log.info({}, 'reloaded')
    })
  }

  /** `10.0.0.7:80`: it keeps its connections and gets no new ones. Returns the services that it is a server of. */
  drain(text: unknown): readonly string[] {
    const keys = this.#drains.add(readServer(text), this.#forwarding.reconciler.model.virtualServices())
    this.#log.info({ server: text, services: keys }, 'draining')
    this.#saveSoon()
    return keys
  }

  /** It gets connections again. @throws ValidationError if it was not drained */
  undrain(text: unknown): readonly string[] {
    const keys = this.#drains.remove(readServer(text), this.#forwarding.reconciler.model.virtualServices())
    if (keys === undefined)
      throw new ValidationError(
        'server',
        text,
        `one that is drained: ${this.#drains.servers.join(', ') || 'none is'}`,
      )
    this.#log.info({ server: text, services: keys }, 'drained no more')
    this.#saveSoon()
    return keys
  }

  /** How many connections a server has, of `10.0.0.7:80`. */
  connectionsOf(text: unknown): Promise<number> {
    return connectionsOf(readServer(text), this.#forwarding.dataplane, this.#configuration.dataplane?.netns)
  }

  /** Resolves when the kernel has what was said so far. */
  async settled(): Promise<void> {
    await this.#forwarding.reconciler.settled()
  }

  /** Stops in order. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    await this.#turn
    // The other balancer takes over while this one still forwards.
    await this.#stopRouter()
    await this.#stopDns()
    clearTimeout(this.#saveTimer)
    if (this.#saveTimer !== undefined) await this.#save()
    await this.#forwarding.close()
  }

  /** What is not there yet of the configuration. */
  async #begin(signal?: AbortSignal): Promise<void> {
    const { edge, dns, dataplane, conntrack } = this.#configuration
    signal?.throwIfAborted()
    await this.#set(conntrack, dataplane?.netns)
    await this.#forwarding.start()
    signal?.throwIfAborted()
    if (dns !== undefined) {
      const { model } = this.#forwarding.reconciler
      if (this.#dns === undefined) this.#dns = await startDns(dns, model, dataplane?.netns)
      else if (this.#dns.model !== model) this.#dns.follow(model)
    }
    // Whoever is master has everything in its kernel.
    if (edge !== undefined && this.#router === undefined)
      this.#router = await startRouter(edge, dataplane?.netns, this.#log)
    this.#saveSoon()
  }

  /** From whatever runs of the one that was meant last. @throws what cannot be begun */
  async #change(configuration: AgentConfiguration): Promise<void> {
    const before = this.#configuration
    const isElsewhere = namespaceOf(configuration) !== this.#forwarding.namespace
    if (isElsewhere || !isDeepStrictEqual(configuration.edge, before.edge)) await this.#stopRouter()
    if (isElsewhere || !isDeepStrictEqual(configuration.dns, before.dns)) await this.#stopDns()
    if (isElsewhere) await this.#set({}, before.dataplane?.netns)
    this.#configuration = configuration
    if (!this.#forwarding.isFor(configuration)) await this.#replaceForwarding(configuration)
    await this.#begin()
  }

  async #replaceForwarding(configuration: AgentConfiguration): Promise<void> {
    const old = this.#forwarding
    const saved = this.#snapshot()
    const forwarding = await Forwarding.open({
      configuration,
      saved,
      drains: this.#drains,
      log: this.#log,
      changed: () => this.#tellProblems(),
      objectsChanged: () => this.#saveSoon(),
    })
    await old.close()
    this.#forwarding = forwarding
    const isSame =
      old.namespace === forwarding.namespace &&
      old.dataplane.kind === forwarding.dataplane.kind &&
      nameOf(old.configuration) === nameOf(configuration)
    this.#log.info({ dataplane: forwarding.dataplane.kind, isSame }, 'forwarding by another configuration')
    if (isSame) return
    await forwarding.start()
    const [failure] = forwarding.reconciler.problems().failures.filter(({ key }) => key === undefined)
    if (failure !== undefined) throw failure.error
    // First the new one, so that there is always one.
    await tearDownOne(old.dataplane.kind, old.configuration.dataplane)
  }

  /** Settings of the kernel. */
  async #set(configured: AgentConfiguration['conntrack'], netns: Netns | undefined): Promise<void> {
    const known = this.#settings
    const kept = settingsBefore(configured, known, netns)
    this.#settings = { ...known, ...kept }
    // Nobody else knows what they were: it is on the disk before they are others.
    if (!isDeepStrictEqual(this.#settings, known)) await this.#save()
    applySettings(configured, this.#settings, netns)
    this.#settings = kept
  }

  async #stopRouter(): Promise<void> {
    const router = this.#router
    this.#router = undefined
    await router?.close()
  }

  async #stopDns(): Promise<void> {
    const dns = this.#dns
    this.#dns = undefined
    await dns?.close()
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work)
    this.#turn = done.catch(() => undefined)
    return done
  }

  #tellProblems(): void {
    const { objects, sources, errors, failures } = this.#forwarding.reconciler.problems()
    const now = new Map<string, () => void>()
    for (const { object, reason, message } of objects) {
      const name = formatReference(object)
      now.set(`${name} ${reason} ${message}`, () => this.#log.warn({ object: name, reason }, message))
    }
    for (const { severity, place, line, path, message } of sources) {
      const level = severity === 'error' ? 'error' : 'debug'
      now.set(`${place}:${line} ${path} ${message}`, () => this.#log[level]({ place, line, path }, message))
    }
    for (const { message } of errors) now.set(message, () => this.#log.error({}, message))
    for (const { key, error } of failures)
      now.set(`${key} ${error.message}`, () => this.#log.error({ service: key }, error.message))
    for (const { object, reason, message } of this.#forwarding.balancer?.problems() ?? []) {
      const name = formatReference(object)
      now.set(`${name} ${reason} ${message}`, () => this.#log.warn({ object: name, reason }, message))
    }
    for (const [problem, tell] of now) if (!this.#told.has(problem)) tell()
    this.#told = new Set(now.keys())
  }

  #saveSoon(milliseconds = saveAfterMilliseconds): void {
    if (this.#state === undefined || this.#isClosed) return
    const dueAt = performance.now() + milliseconds
    // What changes on and on is saved all the same.
    if (this.#saveTimer !== undefined && this.#saveDueAt <= dueAt) return
    clearTimeout(this.#saveTimer)
    this.#saveDueAt = dueAt
    this.#saveTimer = setTimeout(() => void this.#save(), milliseconds)
    this.#saveTimer.unref()
  }

  async #save(): Promise<void> {
    this.#saveTimer = undefined
    try {
      await this.#state?.write(this.#snapshot())
      if (this.#saveError !== undefined)
        this.#log.info({ file: this.#state?.file }, 'the state is saved again')
      this.#saveError = undefined
    } catch (error) {
      // It is for the next start: this one goes on.
      if (!isSystemError(error)) throw error
      if (this.#saveError?.message !== error.message)
        this.#log.error({ file: this.#state?.file, error: error.message }, 'the state cannot be saved')
      this.#saveError = error
      this.#saveSoon(saveAgainMilliseconds)
    }
  }

  #snapshot(): SavedState {
    const { sources } = this.#forwarding
    return {
      objects: new Map([...sources].map(([folder, source]) => [folder, source.objects])),
      allocations: this.#forwarding.allocations(),
      drained: this.#drains.servers,
      settings: this.#settings,
    }
  }
}

/** What is known from before. */
export function savedState(configuration: AgentConfiguration, log: AgentLog): Promise<SavedState> {
  return readSaved(stateFileOf(configuration), log)
}

/** Takes away all that is ours in the kernel and on the disk, whichever dataplane it was. Returns what there was. */
export async function tearDown(configuration: AgentConfiguration, log: AgentLog): Promise<readonly string[]> {
  const done: string[] = []
  const state = stateFileOf(configuration)
  const { settings } = await readSaved(state, log)
  for (const kind of ['nftables', 'ipvs'] as const) {
    try {
      if (await tearDownOne(kind, configuration.dataplane)) done.push(kind)
    } catch (error) {
      if (!isUnsupportedError(error)) throw error
    }
  }
  applySettings({}, settings, configuration.dataplane?.netns)
  if (Object.keys(settings).length > 0) done.push('settings of connection tracking')
  await state?.remove()
  return done
}

async function tearDownOne(
  kind: 'nftables' | 'ipvs',
  { name, netns }: NonNullable<AgentConfiguration['dataplane']> = {},
): Promise<boolean> {
  await using dataplane = await openDataplane({ kind, name, netns })
  return await dataplane.teardown()
}

function stateFileOf({ state = {} }: AgentConfiguration): StateFile | undefined {
  return state.enabled === false ? undefined : new StateFile(state.file ?? defaultStateFile)
}

async function readSaved(state: StateFile | undefined, log: AgentLog): Promise<SavedState> {
  try {
    return (await state?.read()) ?? nothingSaved
  } catch (error) {
    if (!(error instanceof StateError) && !isSystemError(error) && !isKernelError(error)) throw error
    log.error({ file: state?.file }, `the saved state is not used: ${reasonOf(error)}`)
    return nothingSaved
  }
}
