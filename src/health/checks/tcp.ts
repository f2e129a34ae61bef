/** Does it take connections? */
import { connectTcp } from '../../net/index.js'
import type { RealServer } from '../../model/index.js'
import { passed } from '../result.js'
import { type CheckPlace, socketPlace, type StartCheck, targetOf } from './check.js'
import { promised } from './promised.js'

/** A TCP connection comes about. It is ended by a reset, so that nothing of it is left on either side. */
export interface TcpCheck extends CheckPlace {
  readonly kind: 'tcp'
}

export function startTcp(check: TcpCheck, server: RealServer): StartCheck {
  const place = socketPlace(targetOf(check, server))
  return promised(async ({ signal, remaining }) => {
    const socket = await connectTcp({ ...place, deadlineMilliseconds: remaining(), signal })
    socket.resetAndDestroy()
    return passed
  })
}
