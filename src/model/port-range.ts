/** Ranges of ports, and which of them are picked first. */

/** Ports from one to another, both included. */
export interface PortRange {
  readonly from: number
  readonly to: number
}

/** Where Kubernetes has node ports. */
export const defaultNodePorts: PortRange = { from: 30_000, to: 32_767 }
