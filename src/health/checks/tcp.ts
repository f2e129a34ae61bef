/** Does it take connections? */
import { type ConnectPlanOptions, prepareConnect } from '../../net/index.js'
import type { RealServer } from '../../model/index.js'
import { oneOf } from '../rules.js'
import { type CheckPlace, socketPlace, type StartCheck, targetOf } from './check.js'
import { type CheckResources, resultOfOutcome } from './resources.js'

/** A TCP connection comes about. Nothing is left of it on either side: it is closed by a reset. */
export interface TcpCheck extends CheckPlace {
  /** A TCP connection comes about. */
  readonly kind: 'tcp'
  /**
   * `half` unless said: the last packet of the handshake is held back, and the reset comes in its place. The kernel of the
   * server has answered, and its program never hears of it. `full` makes the connection whole before it is reset.
   */
  readonly handshake?: 'half' | 'full' | undefined
}

export function startTcp(check: TcpCheck, server: RealServer, resources: CheckResources): StartCheck {
  const handshake = oneOf('check.handshake', check.handshake ?? 'half', ['half', 'full'])
  const end: ConnectPlanOptions['end'] = handshake === 'half' ? 'half' : 'reset'
  const plan = prepareConnect({ ...socketPlace(targetOf(check, server)), end })
  return (timeoutMilliseconds, done) => {
    const { connector } = resources
    const pending = connector.connect(plan, timeoutMilliseconds, (outcome) => done(resultOfOutcome(outcome)))
    resources.flushSoon()
    return () => connector.cancel(pending)
  }
}
