/** Asks a `viaduct run` by its control socket. */
import { request } from 'node:http'
import { exitFailed, exitUsage, UsageError } from '../exit.js'

/** Nobody answers at the control socket. */
export const exitNobody = 3
const longestMilliseconds = 30_000
const mostBytes = 256 * 1024 * 1024

export interface Asking {
  readonly socket: string
  readonly method?: 'GET' | 'POST'
  readonly path: string
  readonly body?: object | undefined
}

/** @throws UsageError for what the agent refuses, and if nobody answers */
export function ask<T>({ socket, method = 'GET', path, body }: Asking): Promise<T> {
  return new Promise((resolve, reject) => {
    const text = body === undefined ? undefined : JSON.stringify(body)
    const sent = request(
      {
        socketPath: socket,
        method,
        path,
        timeout: longestMilliseconds,
        agent: false,
        headers:
          text === undefined
            ? {}
            : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) },
      },
      (response) => {
        const pieces: Uint8Array[] = []
        let length = 0
        response.on('data', (piece: Uint8Array) => {
          length += piece.length
          if (length > mostBytes) response.destroy(new Error('the answer is too long'))
          else pieces.push(piece)
        })
        response.on('error', (error) => reject(failureOf(error, socket)))
        response.on('end', () => {
          const answer = answerOf<T>(response.statusCode ?? 0, Buffer.concat(pieces).toString())
          if (answer instanceof UsageError) reject(answer)
          else resolve(answer)
        })
      },
    )
    sent.on('timeout', () => sent.destroy(new Error(`no answer within ${longestMilliseconds} ms`)))
    sent.on('error', (error: NodeJS.ErrnoException) => reject(failureOf(error, socket)))
    sent.end(text)
  })
}

function answerOf<T>(status: number, text: string): T | UsageError {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return new UsageError('the answer is no JSON: is it a viaduct that answers there?', exitFailed)
  }
  if (status === 200) return value as T
  const { error } = value as { readonly error?: unknown }
  return new UsageError(String(error), status === 400 ? exitUsage : exitFailed)
}

function failureOf(error: NodeJS.ErrnoException, socket: string): Error {
  if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED')
    return new UsageError(
      `nobody answers at ${socket}: is \`viaduct run\` running? (--socket names another one)`,
      exitNobody,
    )
  if (error.code === 'EACCES')
    return new UsageError(`${socket} may be opened by its owner and root alone`, exitNobody)
  return new UsageError(`${socket}: ${error.message}`, exitFailed)
}
