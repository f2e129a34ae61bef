/** Ranges of ports. */
import { fail, isPort } from './reading.js'

/** Ports from one to another, both included. */
export interface PortRange {
  readonly from: number
  readonly to: number
}

/** Where Kubernetes has node ports. */
export const defaultNodePorts: PortRange = { from: 30_000, to: 32_767 }

/** `30000-32767`, or a single port. @throws ValidationError */
export function readPortRange(value: unknown, path: string): PortRange {
  const parts = typeof value === 'string' ? /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(value) : null
  const from = Number(parts?.[1])
  const to = Number(parts?.[2] ?? parts?.[1])
  if (!isPort(from) || !isPort(to) || from > to) fail(path, value, 'a range of ports such as 30000-32767')
  return { from, to }
}
