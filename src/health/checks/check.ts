/** What every check has: where it goes, from where, and how it is run. */
import type { Netns } from '../../net/index.js'
import type { RealServer } from '../../model/index.js'
import type { CheckResult } from '../result.js'

/** Where a check goes and comes from; what is left out is the server's own, and the kernel's choice. */
export interface CheckPlace {
  /** Another address than the server's: a virtual one, to go through the dataplane. Numeric. */
  readonly address?: string | undefined
  /** Another port than the server's. */
  readonly port?: number | undefined
  /** Firewall mark of what is sent (SO_MARK), by which rules choose the way. Takes CAP_NET_ADMIN. */
  readonly mark?: number | undefined
  /** The address to check from. */
  readonly localAddress?: string | undefined
  /** The interface to check through (SO_BINDTODEVICE). */
  readonly device?: string | undefined
  /** The network namespace to check from; the process's own unless said. */
  readonly netns?: Netns | undefined
}

/** The place of one server's check. */
export interface Target {
  readonly address: string
  readonly port: number
  readonly mark: number | undefined
  readonly localAddress: string | undefined
  readonly device: string | undefined
  readonly netns: Netns | undefined
}

export function targetOf(place: CheckPlace, server: RealServer): Target {
  return {
    address: place.address ?? server.address,
    port: place.port ?? server.port,
    mark: place.mark,
    localAddress: place.localAddress,
    device: place.device,
    netns: place.netns,
  }
}

/** How `node:net` options name it: what `connectTcp` and its like take. */
export function socketPlace({ address, port, mark, localAddress, device, netns }: Target) {
  return { address, port, mark, localAddress, device, netns }
}

/**
 * Begins a check. `done` is called once, later or at once, unless the check is given up by the function that is returned;
 * then never.
 */
export type StartCheck = (timeoutMilliseconds: number, done: (result: CheckResult) => void) => () => void

/** What a check of promises is given. */
export interface Run {
  /** Aborted at the deadline, and when the check is given up. */
  readonly signal: AbortSignal
  /** What is left until the deadline, at least 1. */
  readonly remaining: () => number
}
