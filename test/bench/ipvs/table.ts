/** The table of the benchmark: services of destinations, as a user's objects and as lines of ipvsadm. */
import { writeFileSync } from 'node:fs'
import type { AddressKey, IpvsOperation } from '../../../src/index.js'

export interface Size {
  readonly services: number
  readonly destinationsEach: number
}

export const commandsOf = ({ services, destinationsEach }: Size): number => services * (1 + destinationsEach)

export function serviceKey(index: number): AddressKey {
  return {
    protocol: 'tcp',
    address: `198.${18 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`,
    port: 80,
  }
}

const destinationPort = 8080

function destinationAddress(service: number, index: number): string {
  return `10.${service >> 8}.${service & 255}.${1 + index}`
}

/** What a program hands over: an object for each command. */
export function operationsOf(size: Size): IpvsOperation[] {
  const operations: IpvsOperation[] = []
  for (let index = 0; index < size.services; index++) {
    const service = serviceKey(index)
    const { protocol, address, port } = service
    operations.push({ operation: 'createService', service: { protocol, address, port, scheduler: 'rr' } })
    for (let each = 0; each < size.destinationsEach; each++) {
      operations.push({
        operation: 'createDestination',
        service,
        destination: {
          address: destinationAddress(index, each),
          port: destinationPort,
          forwardingMethod: 'masquerade',
          weight: 1 + (each & 1),
        },
      })
    }
  }
  return operations
}

/** The one change: the weight of a destination in the middle of the table, back and forth. */
export function changesOf(size: Size): readonly [IpvsOperation, IpvsOperation] {
  const index = size.services >> 1
  const change = (weight: number): IpvsOperation => ({
    operation: 'setDestination',
    service: serviceKey(index),
    destination: {
      address: destinationAddress(index, 0),
      port: destinationPort,
      forwardingMethod: 'masquerade',
      weight,
    },
  })
  return [change(5), change(6)]
}

/** What `ipvsadm -R` reads. */
export function writeRules(file: string, size: Size): void {
  const lines: string[] = []
  for (let index = 0; index < size.services; index++) {
    const { address, port } = serviceKey(index)
    lines.push(`-A -t ${address}:${port} -s rr`)
    for (let each = 0; each < size.destinationsEach; each++) {
      const server = `${destinationAddress(index, each)}:${destinationPort}`
      lines.push(`-a -t ${address}:${port} -r ${server} -m -w ${1 + (each & 1)}`)
    }
  }
  writeFileSync(file, `${lines.join('\n')}\n`)
}
