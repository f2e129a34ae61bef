/** What a server says of itself, as HAProxy's agents do: a line of words over a TCP connection. */
import { prepareConnect } from '../../net/index.js'
import type { RealServer } from '../../model/index.js'
import { type CheckResult, failed, passed, quote } from '../result.js'
import { readShare } from './answer.js'
import { type CheckPlace, socketPlace, type StartCheck, targetOf } from './check.js'
import { promised } from './promised.js'
import type { CheckResources } from './resources.js'

/**
 * Reads a line: `75%` is the part of its weight that it wants, `drain` and `maint` that it wants no new connections, `down`,
 * `fail` and `stopped` that it does not serve, `up` and `ready` the whole of its weight.
 */
export interface AgentCheck extends CheckPlace {
  /** An agent of the server says how it does. */
  readonly kind: 'agent'
  /** What is sent before the line is read; nothing unless said. */
  readonly send?: string | undefined
}

export function startAgent(check: AgentCheck, server: RealServer, resources: CheckResources): StartCheck {
  const plan = prepareConnect({ ...socketPlace(targetOf(check, server)), end: 'keep' })
  return promised(async (run) => {
    const socket = await resources.connect(plan, run)
    if (check.send !== undefined) socket.write(check.send)
    let text = ''
    return new Promise<CheckResult>((resolve) => {
      const judge = (): void => resolve(readAgent(text))
      socket.on('data', (part: Uint8Array) => {
        text += Buffer.from(part).toString('latin1')
        if (text.length > mostCharacters || /[\r\n]/.test(text)) judge()
      })
      socket.on('end', judge)
      socket.on('error', () => resolve(failed('reset', 'the connection was reset')))
      socket.on('close', () => resolve(failed('reset', 'the connection ended without a line')))
    })
  })
}

const mostCharacters = 256

/** Of what is said twice the last counts. */
export function readAgent(text: string): CheckResult {
  const line = text.split(/[\r\n]/, 1)[0]!.slice(0, mostCharacters)
  const words = line
    .split('#', 1)[0]!
    .trim()
    .split(/[\s,]+/)
    .filter((word) => word !== '')
  let share: number | undefined
  let isServing: boolean | undefined
  for (const word of words) {
    const percent = word.endsWith('%') ? readShare(word) : undefined
    if (percent !== undefined) share = percent
    else if (word === 'up' || word === 'ready') isServing = true
    else if (word === 'drain' || word === 'maint') share = 0
    else if (word === 'down' || word === 'fail' || word === 'failed' || word === 'stopped') isServing = false
    else if (!/^maxconn:\d+$/.test(word)) return failed('malformed', `${quote(line)} is no agent's line`)
  }
  if (isServing === false) return failed('not-serving', quote(line))
  if (share !== undefined) return { outcome: 'passed', share }
  if (isServing === true) return { outcome: 'passed', share: 1 }
  return words.length === 0 ? failed('malformed', 'an empty line') : passed
}
