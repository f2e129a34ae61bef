/** What has to change for a service to have certain servers. Pure: a plan is a value that can be printed and tested. */
import { canonicalAddress } from '../address/index.js'
import { ValidationError } from '../errors/index.js'
import type { IpvsOperation } from './operations.js'
import { destinationId, type DestinationInput, type ServiceKey, wireDestination } from './input.js'
import { changeDestination } from './keep.js'
import type { Destination } from './wire.js'

/** A server by its full name. */
export interface ServerKey {
  /** IPv4 or IPv6. */
  readonly address: string
  /** 0 behind a firewall mark: the one that the client asked for. */
  readonly port: number
}

/** What is to be done. */
export interface ServerPlan {
  readonly add: readonly DestinationInput[]
  readonly update: readonly DestinationInput[]
  /** Present, not wanted. */
  readonly remove: readonly Destination[]
  readonly unchanged: readonly Destination[]
}

export function isNothing({ add, update, remove }: ServerPlan): boolean {
  return add.length + update.length + remove.length === 0
}

/** Compares what is there with what is wanted. What a wanted server leaves out has its default. */
export function planServers(
  service: ServiceKey,
  present: readonly Destination[],
  wanted: readonly DestinationInput[],
): ServerPlan {
  const byId = new Map(present.map((destination) => [destinationId(service, destination), destination]))
  const seen = new Map<string, number>()
  const add: DestinationInput[] = []
  const update: DestinationInput[] = []
  const unchanged: Destination[] = []
  for (const [index, server] of wanted.entries()) {
    const path = `servers[${index}]`
    // Everything is checked before anything is sent.
    const wire = wireDestination(service, server, path)
    if (canonicalAddress(server.address) === undefined) {
      throw new ValidationError(`${path}.address`, server.address, 'an IPv4 or IPv6 address')
    }
    const id = destinationId(service, server)
    const twin = seen.get(id)
    if (twin !== undefined) throw new ValidationError(path, id, `a server that is not servers[${twin}] again`)
    seen.set(id, index)
    const there = byId.get(id)
    if (there === undefined) add.push(server)
    else if (sameDestination(there, wire)) unchanged.push(there)
    else update.push(server)
  }
  const remove = present.filter((destination) => !seen.has(destinationId(service, destination)))
  return { add, update, remove, unchanged }
}

/** Does the kernel have it as it is wanted? It keeps the method as given, for addresses of its own, too. */
export function sameDestination(read: Destination, wanted: ReturnType<typeof wireDestination>): boolean {
  if (
    read.weight !== wanted.weight ||
    read.upperThreshold !== wanted.upperThreshold ||
    read.lowerThreshold !== wanted.lowerThreshold
  ) {
    return false
  }
  if (read.forwardingMethod !== wanted.forwardingMethod) return false
  if (wanted.forwardingMethod !== 'tunnel') return true
  return (
    (read.tunnelType ?? 'ipip') === wanted.tunnelType &&
    (read.tunnelPort ?? 0) === wanted.tunnelPort &&
    sameSet(read.tunnelFlags ?? [], wanted.tunnelFlags ?? [])
  )
}

/** Flags are bits: their order says nothing, and twice is once. */
function sameSet(some: readonly string[], others: readonly string[]): boolean {
  return some.every((one) => others.includes(one)) && others.every((one) => some.includes(one))
}

/** Who takes connections comes first: those that do not yet, then those that go on to, changed. */
export function additions(service: ServiceKey, plan: ServerPlan): IpvsOperation[] {
  const takes = ({ weight }: DestinationInput): boolean => weight !== 0
  const waits = (server: DestinationInput): boolean => !takes(server)
  const create = (destination: DestinationInput): IpvsOperation => ({
    operation: 'createDestination',
    service,
    destination,
  })
  return [
    ...plan.add.filter(takes).map(create),
    ...plan.update.filter(takes).map((destination) => changed(service, destination)),
    ...plan.add.filter(waits).map(create),
  ]
}

/** Who is to take none any more: only when all of `additions` is done. */
export function withdrawals(service: ServiceKey, plan: ServerPlan): IpvsOperation[] {
  return plan.update.filter(({ weight }) => weight === 0).map((destination) => changed(service, destination))
}

function changed(service: ServiceKey, destination: DestinationInput): IpvsOperation {
  return { operation: 'setDestination', service, destination }
}

/** Weight 0: running connections stay, new ones go elsewhere. */
export function quiesce(service: ServiceKey, destinations: readonly Destination[]): IpvsOperation[] {
  return destinations
    .filter(({ weight }) => weight !== 0)
    .map((read) => changeDestination(service, read, { weight: 0 }))
}

export function deletions(service: ServiceKey, destinations: readonly ServerKey[]): IpvsOperation[] {
  return destinations.map(({ address, port }) => ({
    operation: 'deleteDestination',
    service,
    destination: { address, port },
  }))
}

export function serverKey({ address, port }: ServerKey): ServerKey {
  return { address, port }
}
