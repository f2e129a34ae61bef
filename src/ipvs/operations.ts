/** Changes as values, and how they become messages. */
import type { AddressFamily } from '../address/index.js'
import type { GenericBatchCodec, GenericCommand } from '../genetlink/index.js'
import { type BatchOutcome, type CallOptions, type Encodable, type Target, Writer } from '../netlink/index.js'
import { hintFor } from './hints.js'
import {
  type DestinationInput,
  type DestinationKey,
  destinationRecord,
  keyOf,
  newWireDestination,
  type Protocol,
  type ServiceInput,
  type ServiceKey,
  serviceRecord,
  type WireDestination,
  wireDestination,
  wireDestinationKey,
  wireKey,
  wireService,
} from './input.js'
import { command, service as serviceTable, top } from './wire.js'

/** One change, as a value: made by whoever plans, sent by `apply`. */
export type IpvsOperation =
  | { readonly operation: 'createService' | 'setService'; readonly service: ServiceInput }
  | { readonly operation: 'deleteService'; readonly service: ServiceKey }
  | {
      readonly operation: 'createDestination' | 'setDestination'
      readonly service: ServiceKey
      readonly destination: DestinationInput
    }
  | {
      readonly operation: 'deleteDestination'
      readonly service: ServiceKey
      readonly destination: DestinationKey
    }

/** Made of what was read (keep.ts): it is sent as it is, for the kernel has had most of it before. */
export type KeptOperation = IpvsOperation & {
  readonly operation: 'setService' | 'setDestination'
  readonly kept: true
}

function isKept(item: IpvsOperation): boolean {
  return (item as Partial<KeptOperation>).kept === true
}

const operationFacts = {
  createService: {
    command: command.newService,
    name: 'ipvs.createService',
    hint: hintFor('service', 'create'),
  },
  setService: { command: command.setService, name: 'ipvs.setService', hint: hintFor('service', 'set') },
  deleteService: {
    command: command.deleteService,
    name: 'ipvs.deleteService',
    hint: hintFor('service', 'delete'),
  },
  createDestination: {
    command: command.newDestination,
    name: 'ipvs.createDestination',
    hint: hintFor('destination', 'create'),
  },
  setDestination: {
    command: command.setDestination,
    name: 'ipvs.setDestination',
    hint: hintFor('destination', 'set'),
  },
  deleteDestination: {
    command: command.deleteDestination,
    name: 'ipvs.deleteDestination',
    hint: hintFor('destination', 'delete'),
  },
} as const

/** The fields of a ServiceKey, whichever kind it is. */
interface LastKey {
  address: string | undefined
  port: number | undefined
  protocol: Protocol | undefined
  firewallMark: number | undefined
  family: AddressFamily | undefined
}

/**
 * How operations are written and named; the benchmark of the encoder uses it, too. Operations on one service follow
 * each other, so the bytes of its key are kept from one to the next.
 */
export class OperationCodec implements GenericBatchCodec<IpvsOperation> {
  readonly attributes = top
  readonly #writer = new Writer(64)
  readonly #record = newRecord()
  readonly #last: LastKey = {
    address: undefined,
    port: undefined,
    protocol: undefined,
    firewallMark: 0,
    family: undefined,
  }
  #bytes = new Uint8Array()

  command(item: IpvsOperation): number {
    return operationFacts[item.operation].command
  }

  /** Valid until the next call: a batch writes each record at once, and fresh memory for each costs more than writing it. */
  record(item: IpvsOperation): Encodable<typeof top> {
    return recordOf(item, this.#keyed, this.#record)
  }

  /** Compared by value: a caller may use one object again with another port. */
  readonly #keyed = (key: ServiceKey): Uint8Array => {
    const last = this.#last
    if (
      key.address !== last.address ||
      key.port !== last.port ||
      key.protocol !== last.protocol ||
      key.firewallMark !== last.firewallMark ||
      (key.firewallMark !== undefined && key.family !== last.family)
    ) {
      const writer = this.#writer
      writer.reset()
      // What cannot be written must not be taken for the last one.
      last.firewallMark = 0
      serviceTable.encode(writer, wireKey(key), 'service')
      if (this.#bytes.length !== writer.length) this.#bytes = new Uint8Array(writer.length)
      for (let at = 0; at < writer.length; at++) this.#bytes[at] = writer.bytes[at]!
      last.address = key.address
      last.port = key.port
      last.protocol = key.protocol
      last.firewallMark = key.firewallMark
      last.family = key.firewallMark === undefined ? undefined : key.family
    }
    return this.#bytes
  }

  mayWait(item: IpvsOperation): boolean {
    return mayWait(item)
  }

  target(item: IpvsOperation): Target {
    const { name, hint } = operationFacts[item.operation]
    return { operation: name, object: objectOf(item), hint }
  }
}

/** Another scheduler waits for an RCU grace period (ip_vs_edit_service). */
function mayWait({ operation }: IpvsOperation): boolean {
  return operation === 'setService'
}

/** What sends operations: `Ipvs`. */
interface Applier {
  apply(operations: Iterable<IpvsOperation>, options?: CallOptions): Promise<BatchOutcome>
}

/** One operation, sent as a batch. Throws what it failed with. */
export async function applyOne(
  ipvs: Applier,
  operation: IpvsOperation,
  options?: CallOptions,
): Promise<void> {
  const { failures } = await ipvs.apply([operation], options)
  if (failures[0] !== undefined) throw failures[0].error
}

/** A single operation as a command. */
export function commandOf(item: IpvsOperation): GenericCommand {
  const { command: number, name, hint } = operationFacts[item.operation]
  return {
    operation: name,
    object: objectOf(item),
    command: number,
    attributes: top,
    record: recordOf(item, wireKey, newRecord()),
    hint,
    mayWait: mayWait(item),
  }
}

/** What an operation becomes: its parts are written over by the next one. */
interface OperationRecord {
  service: Encodable<typeof top>['service']
  destination: Encodable<typeof top>['destination']
  readonly parts: WireDestination
}

/** With the keys in one order, so that all have one shape. */
function newRecord(): OperationRecord {
  return { service: undefined, destination: undefined, parts: newWireDestination() }
}

/** Validates and completes what was given. How a destination's service is named says `keyed`. */
function recordOf(
  item: IpvsOperation,
  keyed: (key: ServiceKey) => NonNullable<Encodable<typeof top>['service']>,
  record: OperationRecord,
): OperationRecord {
  record.destination = undefined
  switch (item.operation) {
    case 'createService':
    case 'setService':
      record.service = isKept(item) ? serviceRecord(item.service) : wireService(item.service)
      return record
    case 'deleteService':
      record.service = wireKey(item.service)
      return record
    case 'createDestination':
    case 'setDestination':
      record.service = keyed(item.service)
      record.destination = isKept(item)
        ? destinationRecord(
            wireDestinationKey(item.service, item.destination),
            item.destination,
            record.parts,
          )
        : wireDestination(item.service, item.destination, 'destination', record.parts)
      return record
    case 'deleteDestination':
      record.service = keyed(item.service)
      record.destination = wireDestinationKey(item.service, item.destination)
      return record
  }
}

function objectOf(item: IpvsOperation): object {
  return 'destination' in item
    ? { service: keyOf(item.service), destination: item.destination }
    : item.service
}
