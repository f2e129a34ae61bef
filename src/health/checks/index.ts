/** The checks there are, by their kinds. */
import { ValidationError } from '../../errors/index.js'
import type { RealServer } from '../../model/index.js'
import type { StartCheck } from './check.js'
import { type OwnCheck, startOwn } from './own.js'
import { CheckResources } from './resources.js'
import { startTcp, type TcpCheck } from './tcp.js'

export type { CheckPlace } from './check.js'
export { CheckResources }
export type { OwnCheck, OwnResult } from './own.js'
export type { TcpCheck } from './tcp.js'

/** What is done to find out about a server. */
export type Check = TcpCheck | OwnCheck

/** @throws ValidationError for what is no check */
export function startOf(check: Check, server: RealServer, resources: CheckResources): StartCheck {
  switch (check.kind) {
    case 'tcp':
      return startTcp(check, server, resources)
    case 'own':
      return startOwn(check, server)
    default:
      throw new ValidationError('check.kind', (check as { kind?: unknown }).kind, 'a kind of check')
  }
}
