/** What would be done, and nothing is: everything runs as it would, before a dataplane that keeps what it is told to itself. */
import type {
  Applied,
  Dataplane,
  DataplanePlan,
  ProgrammedService,
  ServiceStatistics,
} from '../dataplane/index.js'
import type { ServiceChange, VirtualService } from '../model/index.js'
import { formatReference, type SourceProblem } from '../sources/index.js'
import type { AgentConfiguration } from './configuration.js'
import { Drains, readServer } from './drains.js'
import { Forwarding } from './forwarding.js'
import type { AgentLog } from './log.js'
import type { SavedState } from './state-file.js'

export interface DryRun {
  readonly dataplane: string
  readonly chosenBecause?: string | undefined
  readonly services: number
  /** How many messages would be sent that change something. */
  readonly writes: number
  /** A line for each. */
  readonly text: string
  readonly problems: readonly SourceProblem[]
}

const silent: AgentLog = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
}

/** @throws what cannot be opened */
export async function planOf(configuration: AgentConfiguration, saved: SavedState): Promise<DryRun> {
  let rehearsal: Rehearsal | undefined
  const forwarding = await Forwarding.open({
    // Servers are not asked, and no port answers.
    configuration: { ...configuration, health: undefined, healthCheckNodePorts: { enabled: false } },
    saved,
    drains: new Drains(saved.drained.map(readServer)),
    log: silent,
    changed: () => undefined,
    objectsChanged: () => undefined,
    wrap: (dataplane) => (rehearsal = new Rehearsal(dataplane)),
  })
  try {
    await forwarding.start()
    const { reconciler, dataplane } = forwarding
    const upserted = [...rehearsal!.services.values()]
    const plan = await dataplane.plan({ upserted, deleted: [] })
    const located = await reconciler.locatedProblems()
    return {
      dataplane: dataplane.kind,
      chosenBecause: dataplane.chosenBecause,
      services: upserted.length,
      writes: plan.writes,
      text: plan.toString(),
      problems: [
        ...reconciler.problems().sources,
        ...located.map(({ object, error, message, at }) => ({
          severity: 'error' as const,
          ...(at ?? { place: formatReference(object) }),
          path: error?.path,
          message,
        })),
      ],
    }
  } finally {
    await forwarding.close()
  }
}

class Rehearsal implements Dataplane {
  readonly services = new Map<string, VirtualService>()
  readonly #dataplane: Dataplane

  constructor(dataplane: Dataplane) {
    this.#dataplane = dataplane
  }

  get kind(): Dataplane['kind'] {
    return this.#dataplane.kind
  }

  get capabilities(): Dataplane['capabilities'] {
    return this.#dataplane.capabilities
  }

  get chosenBecause(): string | undefined {
    return this.#dataplane.chosenBecause
  }

  plan(change: ServiceChange): Promise<DataplanePlan> {
    return this.#dataplane.plan(change)
  }

  apply({ upserted, deleted }: ServiceChange): Promise<Applied> {
    for (const key of deleted) this.services.delete(key)
    for (const service of upserted) this.services.set(service.key, service)
    return Promise.resolve({ writes: 0, failures: new Map(), conditions: new Map() })
  }

  synchronize(services: Iterable<VirtualService>): Promise<Applied> {
    this.services.clear()
    return this.apply({ upserted: [...services], deleted: [] })
  }

  repair(): Promise<Applied> {
    return this.apply({ upserted: [], deleted: [] })
  }

  read(): Promise<ProgrammedService[]> {
    return this.#dataplane.read()
  }

  stats(key?: string): Promise<ServiceStatistics[]> {
    return this.#dataplane.stats(key)
  }

  watch(): () => void {
    return () => undefined
  }

  teardown(): Promise<boolean> {
    return Promise.resolve(false)
  }

  close(): void {
    this.#dataplane.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#dataplane[Symbol.asyncDispose]()
  }
}
