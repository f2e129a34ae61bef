/** What a command line says, as values in the terms of the wire. Made by parse.ts, done by perform.ts. */
import type { Encodable } from '../../netlink/index.js'
import type { daemon, destination, service } from '../../ipvs/wire.js'
import { exitFailed, exitRefused } from '../exit.js'

export type Family = 'ipv4' | 'ipv6'

/** What names a service on the wire. */
export type WireKey =
  | {
      readonly family: Family
      readonly protocol: 'tcp' | 'udp' | 'sctp'
      readonly address: string
      readonly port: number
    }
  | { readonly family: Family; readonly firewallMark: number }

export type WireServiceInput = WireKey & Encodable<typeof service>
export type WireDestinationInput = Encodable<typeof destination> & {
  readonly family: Family
  readonly address: string
  readonly port: number
}

/** How a list looks. Of several kinds of columns the first that is set counts, in this order. */
export interface Format {
  readonly numeric: boolean
  readonly nosort: boolean
  readonly exact: boolean
  readonly stats: boolean
  readonly rate: boolean
  readonly thresholds: boolean
  readonly persistentConn: boolean
  readonly tunInfo: boolean
}

/** As `ipvsadm -L` without more. */
export const plainFormat: Format = {
  numeric: false,
  nosort: false,
  exact: false,
  stats: false,
  rate: false,
  thresholds: false,
  persistentConn: false,
  tunInfo: false,
}

/** A change of one service or destination: many of them go in one batch. */
export type Change =
  | { readonly command: 'add-service' | 'edit-service'; readonly service: WireServiceInput }
  | { readonly command: 'delete-service'; readonly service: WireKey }
  | {
      readonly command: 'add-server' | 'edit-server' | 'delete-server'
      readonly service: WireKey
      readonly destination: WireDestinationInput
    }

export type Command =
  | Change
  | { readonly command: 'help' }
  | { readonly command: 'version' }
  | { readonly command: 'flush' }
  | { readonly command: 'restore' }
  | { readonly command: 'zero'; readonly service: WireKey | undefined }
  | {
      readonly command: 'list'
      readonly what: 'all' | 'connections' | 'timeout' | 'daemon'
      readonly format: Format
    }
  | { readonly command: 'list'; readonly what: 'service'; readonly service: WireKey; readonly format: Format }
  | { readonly command: 'save'; readonly format: Format }
  | {
      readonly command: 'set'
      readonly tcpSeconds: number
      readonly tcpFinSeconds: number
      readonly udpSeconds: number
    }
  | { readonly command: 'start-daemon'; readonly daemon: Encodable<typeof daemon> }
  | { readonly command: 'stop-daemon'; readonly state: 'master' | 'backup' }

/** A name whose address is not known yet: find it, and parse again. */
export class UnresolvedName extends Error {
  override readonly name = 'UnresolvedName'

  constructor(
    readonly host: string,
    readonly family: 4 | 6,
  ) {
    super(`the address of ${host} is not known yet`)
  }
}

/** How the command ends if the kernel refuses. */
export function exitOf({ command }: Command): number {
  return command === 'list' || command === 'save' ? exitFailed : exitRefused
}
