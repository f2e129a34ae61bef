/** HTTP/1.1 and HTTPS. */
import { request } from 'node:http'
import { prepareConnect } from '../../net/index.js'
import type { RealServer } from '../../model/index.js'
import { resultOfError } from '../classify.js'
import { type CheckResult, failed, quote } from '../result.js'
import { type HttpQuestion, judgeBody, judgeHead, type Question, questionOf } from './answer.js'
import { socketPlace, type StartCheck, targetOf } from './check.js'
import { promised } from './promised.js'
import type { CheckResources } from './resources.js'
import { planTls, resultOfTlsError, secure } from './tls.js'
import type { Duplex } from 'node:stream'

/** One request over a connection of its own. */
export interface HttpCheck extends HttpQuestion {
  /** HTTP/1.1, with or without TLS. */
  readonly kind: 'http'
}

export function startHttp(check: HttpCheck, server: RealServer, resources: CheckResources): StartCheck {
  const target = targetOf(check, server)
  const question = questionOf(check, target.address, target.port)
  const plan = prepareConnect({ ...socketPlace(target), end: 'keep' })
  const tls =
    check.tls === undefined ? undefined : planTls(check.tls, target.address, check.host, ['http/1.1'])
  return promised(async (run) => {
    const socket = await resources.connect(plan, run)
    return ask(question, tls === undefined ? socket : await secure(socket, tls))
  })
}

function ask(question: Question, stream: Duplex): Promise<CheckResult> {
  const { method, path, authority, headers } = question
  return new Promise((resolve) => {
    const fail = (error: unknown): void => resolve(resultOfHttpError(error))
    const sent = request({
      method,
      path,
      headers: { host: authority, connection: 'close', ...headers },
      createConnection: () => stream,
    })
    sent.on('error', fail)
    // Taken for something else (101), or ended without an answer: nobody here goes on with it.
    sent.on('close', () => resolve(failed('reset', 'the connection ended without an answer')))
    sent.on('response', (message) => {
      const verdict = judgeHead(question, message.statusCode, message.headers)
      if (verdict !== undefined) {
        message.on('error', () => undefined)
        return resolve(verdict)
      }
      const parts: Uint8Array[] = []
      let bytes = 0
      const judge = (): void => resolve(judgeBody(question, message.headers, parts))
      message.on('data', (part: Uint8Array) => {
        parts.push(part)
        bytes += part.length
        if (bytes >= question.bodyBytes) judge()
      })
      message.on('error', fail)
      message.on('end', judge)
    })
    sent.end()
  })
}

function resultOfHttpError(error: unknown): CheckResult {
  const { code } = (error ?? {}) as { code?: unknown }
  if (typeof code === 'string' && code.startsWith('HPE_')) return failed('malformed', quote(code))
  const result = resultOfTlsError(error)
  return result.outcome === 'not-run' ? resultOfError(error) : result
}
