/** Changes as values, and how they become messages. */
import type { GenericBatchCodec, GenericCommand } from '../genetlink/index.js'
import { type Encodable, type Target, Writer } from '../netlink/index.js'
import { hintFor } from './hints.js'
import {
  type DestinationInput,
  type DestinationKey,
  type FirewallMarkKey,
  keyOf,
  type ServiceInput,
  type ServiceKey,
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

/**
 * How operations are written and named; the benchmark of the encoder uses it, too. Operations on one service follow
 * each other, so the bytes of its key are kept from one to the next.
 */
export class OperationCodec implements GenericBatchCodec<IpvsOperation> {
  readonly attributes = top
  readonly #writer = new Writer(64)
  #last: ServiceKey = { firewallMark: 0, family: 'ipv4' }
  #bytes = new Uint8Array()

  command(item: IpvsOperation): number {
    return operationFacts[item.operation].command
  }

  record(item: IpvsOperation): Encodable<typeof top> {
    return recordOf(item, this.#keyed)
  }

  /** Compared by value: a caller may use one object again with another port. */
  readonly #keyed = (key: ServiceKey): Uint8Array => {
    const last = this.#last
    if (
      key.address !== last.address ||
      key.port !== last.port ||
      key.protocol !== last.protocol ||
      key.firewallMark !== last.firewallMark ||
      (key.firewallMark !== undefined && key.family !== (last as FirewallMarkKey).family)
    ) {
      const writer = this.#writer
      writer.reset()
      serviceTable.encode(writer, wireKey(key), 'service')
      this.#bytes = writer.bytes.slice(0, writer.length)
      this.#last = keyOf(key)
    }
    return this.#bytes
  }

  /** Another scheduler waits for an RCU grace period (ip_vs_edit_service). */
  mayWait(item: IpvsOperation): boolean {
    return item.operation === 'setService'
  }

  target(item: IpvsOperation): Target {
    const { name, hint } = operationFacts[item.operation]
    return { operation: name, object: objectOf(item), hint }
  }
}

/** A single operation as a command. */
export function commandOf(item: IpvsOperation): GenericCommand {
  const { command: number, name, hint } = operationFacts[item.operation]
  return {
    operation: name,
    object: objectOf(item),
    command: number,
    attributes: top,
    record: recordOf(item, wireKey),
    hint,
  }
}

/** Validates and completes what was given. How a destination's service is named says `keyed`. */
function recordOf(
  item: IpvsOperation,
  keyed: (key: ServiceKey) => NonNullable<Encodable<typeof top>['service']>,
): Encodable<typeof top> {
  switch (item.operation) {
    case 'createService':
    case 'setService':
      return { service: wireService(item.service) }
    case 'deleteService':
      return { service: wireKey(item.service) }
    case 'createDestination':
    case 'setDestination':
      return { service: keyed(item.service), destination: wireDestination(item.service, item.destination) }
    case 'deleteDestination':
      return { service: keyed(item.service), destination: wireDestinationKey(item.service, item.destination) }
  }
}

function objectOf(item: IpvsOperation): object {
  return 'destination' in item
    ? { service: keyOf(item.service), destination: item.destination }
    : item.service
}
