/** What is measured on IPVS (guest.ts). */
import type { Times } from './changes.js'
import type { Cold } from './processes.js'

export interface GuestSettings {
  readonly runs: number
  readonly services: number
  readonly changes: number
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
}

export const ipvsEndpointsEach = 10
