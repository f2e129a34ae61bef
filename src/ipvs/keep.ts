/**
 * Changes to what was read. What is not given goes back as it came, whoever chose it: another program's choice may be
 * one that is refused here, and is none of this caller's faults. Only what the change makes wrong is refused.
 */
import { ValidationError } from '../errors/index.js'
import {
  checkDestination,
  checkService,
  type DestinationInput,
  destinationInputOf,
  type Refuse,
  type Service,
  type ServiceInput,
  serviceInputOf,
  type ServiceKey,
  type ServiceOptions,
  wireDestinationKey,
} from './input.js'
import type { KeptOperation } from './operations.js'
import type { Destination } from './wire.js'

/** Makes of a destination that was read what `given` says. @throws ValidationError */
export function changeDestination(
  service: ServiceKey,
  read: Destination,
  given: Partial<DestinationInput>,
): KeptOperation {
  const before = destinationInputOf(read)
  const after: Record<string, unknown> = { ...before }
  const changes = <K extends keyof DestinationInput>(key: K): boolean =>
    given[key] !== undefined && given[key] !== before[key]
  // A tunnel belongs to its forwarding method, and port and flags to its type: another one starts without.
  if (changes('forwardingMethod')) delete after['tunnelType']
  if (changes('forwardingMethod') || changes('tunnelType')) {
    delete after['tunnelPort']
    delete after['tunnelFlags']
  }
  copyGiven(given, after)
  // What names it is no change.
  const destination = { ...after, address: read.address, port: read.port } as DestinationInput
  const key = wireDestinationKey(service, read)
  refuseWhatIsNew(
    (refuse) => checkDestination(service, before, key, undefined, refuse),
    (refuse) => checkDestination(service, destination, key, undefined, refuse),
  )
  return { operation: 'setDestination', service, destination, kept: true }
}

/** Makes of a service that was read what `given` says. @throws ValidationError */
export function changeService(read: Service, given: ServiceOptions): KeptOperation {
  const before = serviceInputOf(read)
  const after: Record<string, unknown> = { ...before }
  // Flags belong to their scheduler: another one starts without.
  if (given.scheduler !== undefined && given.scheduler !== read.scheduler) after['schedulerFlags'] = []
  // An engine belongs to persistence, which 0 ends.
  if (given.persistenceTimeoutSeconds === 0) after['persistenceEngine'] = undefined
  for (const key of serviceOptionKeys) if (given[key] !== undefined) after[key] = given[key]
  const service = after as unknown as ServiceInput
  refuseWhatIsNew(
    (refuse) => checkService(before, undefined, refuse),
    (refuse) => checkService(service, undefined, refuse),
  )
  return { operation: 'setService', service, kept: true }
}

export const serviceOptionKeys = [
  'scheduler',
  'schedulerFlags',
  'onePacket',
  'persistenceTimeoutSeconds',
  'persistenceNetmask',
  'persistenceEngine',
] as const satisfies readonly (keyof ServiceOptions)[]

function copyGiven(given: object, into: Record<string, unknown>): void {
  for (const [key, value] of Object.entries(given)) if (value !== undefined) into[key] = value
}

function refuseWhatIsNew(before: (refuse: Refuse) => void, after: (refuse: Refuse) => void): void {
  const known = new Set<string>()
  before((path, value) => known.add(JSON.stringify([path, value])))
  after((path, value, expected) => {
    if (!known.has(JSON.stringify([path, value]))) throw new ValidationError(path, value, expected)
  })
}
