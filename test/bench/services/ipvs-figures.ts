/** What is measured on IPVS (guest.ts). */
import type { Times } from './changes.js'
import type { LatencyFigures } from './latency.js'
import type { Cold } from './processes.js'

export interface GuestSettings {
  readonly runs: number
  readonly services: number
  readonly changes: number
  /** The compiled C program of latency.ts. */
  readonly packets: string
  /** Where it may write. */
  readonly folder: string
}

/** A list has one number for each run. */
export interface GuestFigures {
  /** Seconds of `Ipvs` with as many services and servers, in a process that has just started. */
  readonly alone: readonly number[]
  readonly load: readonly Cold[]
  readonly restart: readonly Cold[]
  /** Microseconds, all runs together. */
  readonly changes: Times
  /** Beside rules of iptables' old tables. */
  readonly latency: LatencyFigures
}

export const ipvsEndpointsEach = 10
