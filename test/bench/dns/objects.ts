/** The services of the benchmark: as many as asked for, an address for each. */
import type { ModelObject } from '../../../src/model/index.js'

export function addressOf(index: number): string {
  return `10.${96 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`
}

export function service(index: number, clusterIP = addressOf(index)): ModelObject {
  const metadata = { name: `s${index}`, namespace: 'default' }
  return {
    kind: 'Service',
    metadata,
    spec: { clusterIP, ports: [{ name: 'http', port: 80 }] },
  }
}
