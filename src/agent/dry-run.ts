/** What would be done, and nothing is. */
import { openDataplane } from '../dataplane/index.js'
import { ServiceModel } from '../model/index.js'
import { FileSource, type SourceProblem } from '../sources/index.js'
import type { AgentConfiguration } from './configuration.js'
import { TakenPorts } from './taken-ports.js'

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

/** @throws what cannot be opened */
export async function planOf(configuration: AgentConfiguration): Promise<DryRun> {
  const { kind, name, netns, statistics, masqueradeBit } = configuration.dataplane ?? {}
  const { name: nodeName, zone, ...node } = configuration.node ?? {}
  const taken = await TakenPorts.open(netns)
  const model = new ServiceModel({
    nodeName,
    zone,
    allocate: configuration.allocate,
    isPortTaken: taken.holder,
  })
  const problems: SourceProblem[] = []
  for (const folder of configuration.manifests ?? []) {
    const source = new FileSource(folder)
    const list = await source.list()
    problems.push(...list.problems)
    for (const object of list.objects) model.upsert(object)
    for (const { object, error, message } of model.problems()) {
      const at = await source.locate(object, error?.path)
      if (at !== undefined) problems.push({ ...at, severity: 'error', path: error?.path, message })
    }
  }
  const upserted = [...model.virtualServices()]
  await using dataplane = await openDataplane({ kind, name, netns, statistics, masqueradeBit, node })
  const plan = await dataplane.plan({ upserted, deleted: [] })
  return {
    dataplane: dataplane.kind,
    chosenBecause: dataplane.chosenBecause,
    services: upserted.length,
    writes: plan.writes,
    text: plan.toString(),
    problems,
  }
}
