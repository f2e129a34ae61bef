/** What checks of one monitor share: the connector, through which all their TCP connections are made. */
import { errnoCode } from '../../errors/index.js'
import { type ConnectOutcome, type ConnectPlan, takeOver, TcpConnector } from '../../net/index.js'
import { Socket } from 'node:net'
import { resultOfCode } from '../classify.js'
import type { CheckResult } from '../result.js'
import type { Run } from './check.js'

/** @internal */
export class CheckResources {
  #connector: TcpConnector | undefined
  #isFlushing = false

  /** Opened at the first use. */
  get connector(): TcpConnector {
    return (this.#connector ??= new TcpConnector())
  }

  /** Begins what was asked for since the last time. */
  flush(): void {
    this.#connector?.flush()
  }

  /** When what runs now is through: in one go with what else it asks for. */
  flushSoon(): void {
    if (this.#isFlushing) return
    this.#isFlushing = true
    queueMicrotask(() => {
      this.#isFlushing = false
      this.flush()
    })
  }

  /**
   * A connection, made by a plan with `keep`. It is destroyed when the run is over.
   * @throws CheckError that says what the failure means
   */
  connect(plan: ConnectPlan, { signal, remaining }: Run): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const give = (): void => {
        this.connector.cancel(pending)
        reject(signal.reason as Error)
      }
      const pending = this.connector.connect(plan, remaining(), (outcome) => {
        signal.removeEventListener('abort', give)
        if (outcome.fd === undefined) return reject(new CheckError(resultOfOutcome(outcome)))
        const socket = new Socket({ fd: takeOver(outcome.fd), readable: true, writable: true })
        // Closing it resets the connection. (Node's own resetAndDestroy() leaves it open where a shutdown is under way.)
        // What becomes of it after the verdict is nobody's concern.
        socket.on('error', () => undefined)
        signal.addEventListener('abort', () => socket.destroy(), { once: true })
        resolve(socket)
      })
      signal.addEventListener('abort', give, { once: true })
      this.flushSoon()
    })
  }

  close(): void {
    this.#connector?.close()
  }
}

/** A result that is thrown. */
export class CheckError extends Error {
  constructor(readonly result: CheckResult) {
    super(result.outcome)
  }
}

export function resultOfOutcome({ errno, isLocal, milliseconds }: ConnectOutcome): CheckResult {
  if (errno === 0) return { outcome: 'passed', milliseconds }
  return resultOfCode(errnoCode(errno), isLocal)
}
