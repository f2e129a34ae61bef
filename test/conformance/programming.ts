/** A dataplane, fed with Kubernetes' objects by the model. */
import { openDataplane, type DataplaneKind } from '../../src/dataplane/index.js'
import {
  type KubernetesObject,
  type ObjectReference,
  ServiceModel,
  type VirtualService,
} from '../../src/model/index.js'
import type { OpenProgramming } from './run.js'
import { isForService, type Packet } from './situation.js'

/** Conditions that leave the meaning of a service as it is. */
const harmless = new Set(['SchedulerNotHonoured'])

export function programmingBy(kind: DataplaneKind): OpenProgramming {
  return async (
    netns,
    { name, addresses, clusterRanges, serviceRanges, nodePortAddresses, masqueradeAll },
  ) => {
    const dataplane = await openDataplane({
      kind,
      netns,
      node: { addresses, clusterRanges, serviceRanges, nodePortAddresses, masqueradeAll },
    })
    if (dataplane.kind !== kind) throw new Error(`this is ${dataplane.kind}, and not ${kind}`)
    const model = new ServiceModel({ nodeName: name })
    let isFirst = true
    return {
      async program({ objects }) {
        model.replaceAll(objects)
        const change = model.take()
        const services = [...model.virtualServices()]
        const applied = isFirst ? await dataplane.synchronize(services) : await dataplane.apply(change)
        isFirst = false
        const refused = model.problems().filter(({ reason }) => reason === 'Invalid')
        return (packet) => {
          const problem = refused.find(({ object }) => concerns(object, objects, packet))
          if (problem !== undefined) return `${problem.object.name} is refused: ${problem.message}`
          const service = services.find((one) => isFor(one, packet))
          if (service === undefined) return undefined
          const failure = applied.failures.get(service.key)
          if (failure !== undefined) return `${service.key} was not programmed: ${failure.message}`
          const condition = applied.conditions.get(service.key)?.find(({ reason }) => !harmless.has(reason))
          return condition && `${service.key} is not as it should be: ${condition.message}`
        }
      },
      close: () => Promise.resolve(dataplane.close()),
    }
  }
}

/** Whether a refused object is the packet's service, or holds endpoints of it. */
function concerns(
  { kind, namespace, name }: ObjectReference,
  objects: readonly KubernetesObject[],
  packet: Packet,
): boolean {
  const refused = objects.find(
    ({ kind: ofKind, metadata }) =>
      ofKind === kind && metadata?.name === name && (metadata.namespace ?? 'default') === namespace,
  )
  const service = kind === 'Service' ? name : refused?.metadata?.labels?.['kubernetes.io/service-name']
  return objects.some(
    (object) =>
      object.metadata?.name === service &&
      (object.metadata?.namespace ?? 'default') === namespace &&
      isForService(object, packet),
  )
}

function isFor({ frontends, protocol }: VirtualService, packet: Packet): boolean {
  if (protocol !== packet.protocol) return false
  return frontends.some(
    (frontend) =>
      frontend.port === packet.port && (frontend.kind === 'node-port' || frontend.address === packet.to),
  )
}
