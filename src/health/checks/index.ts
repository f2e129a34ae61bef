/** The checks there are, by their kinds. */
import { ValidationError } from '../../errors/index.js'
import type { RealServer } from '../../model/index.js'
import type { StartCheck } from './check.js'
import { type OwnCheck, startOwn } from './own.js'
import { startTcp, type TcpCheck } from './tcp.js'

export type { CheckPlace } from './check.js'
export type { OwnCheck, OwnResult } from './own.js'
export type { TcpCheck } from './tcp.js'

/** What is done to find out about a server. */
export type Check = TcpCheck | OwnCheck

/** What checks of one monitor share. */
export class CheckResources {
  /** Begins what was asked for since the last time. */
  flush(): void {
    // Nothing is gathered.
  }

  close(): void {
    // Nothing is open.
  }
}

/** @throws ValidationError for what is no check */
export function startOf(check: Check, server: RealServer, _resources: CheckResources): StartCheck {
  switch (check.kind) {
    case 'tcp':
      return startTcp(check, server)
    case 'own':
      return startOwn(check, server)
    default:
      throw new ValidationError('check.kind', (check as { kind?: unknown }).kind, 'a kind of check')
  }
}
