/** What is asked of a `viaduct run`. */
import { setTimeout } from 'node:timers/promises'
import { defaultSocket } from '../../agent/index.js'
import type {
  Description,
  EndpointView,
  Explanation,
  NodeView,
  ServiceView,
  StatusView,
} from '../../agent/index.js'
import { toJson } from '../../json.js'
import { type Invocation, usage } from '../command.js'
import { exitFailed, UsageError } from '../exit.js'
import { write } from '../streams.js'
import { ask, type Asking } from './ask.js'
import {
  descriptionText,
  endpointsText,
  explanationText,
  nodesText,
  servicesText,
  statusText,
} from './text.js'

/** Exits with 1 where something is not as it was asked for. */
export async function status(invocation: Invocation): Promise<void> {
  noWords(invocation)
  const view = await question<StatusView>(invocation, { path: '/v1/status' })
  await show(invocation, view, () => statusText(view))
  if (!view.isSound)
    throw new UsageError(
      `${count(view.problems.length, 'problem')}, ${count(view.services.failed, 'service')} failed`,
      exitFailed,
    )
}

export async function get(invocation: Invocation): Promise<void> {
  const [what, ...rest] = invocation.words
  if (rest.length > 0) throw usage(`${rest[0]!} is one word too many`)
  switch (what) {
    case 'services':
    case 'service': {
      const views = await question<ServiceView[]>(invocation, { path: '/v1/services' })
      return showAll(invocation, views, servicesText)
    }
    case 'endpoints': {
      const views = await question<EndpointView[]>(invocation, { path: '/v1/endpoints' })
      return showAll(invocation, views, endpointsText)
    }
    case 'nodes':
    case 'node': {
      const views = await question<NodeView[]>(invocation, { path: '/v1/nodes' })
      return showAll(invocation, views, nodesText)
    }
    default:
      throw usage(`get what? services, endpoints or nodes`)
  }
}

export async function describe(invocation: Invocation): Promise<void> {
  const [what, name, ...rest] = invocation.words
  if ((what !== 'service' && what !== 'services') || name === undefined || rest.length > 0)
    throw usage('describe what? service NAME, or service NAMESPACE/NAME')
  const [namespace, plain] = name.includes('/') ? name.split('/', 2) : ['default', name]
  const query = new URLSearchParams({ namespace: namespace!, name: plain! })
  const view = await question<Description>(invocation, { path: `/v1/service?${query.toString()}` })
  await show(invocation, view, () => descriptionText(view))
}

export async function drain(invocation: Invocation): Promise<void> {
  const { options, words } = invocation
  const [server, ...rest] = words
  if (server === undefined || rest.length > 0) throw usage('drain whom? ADDRESS or ADDRESS:PORT of a server')
  const isUndo = options.has('undo')
  const seconds = options.has('timeout') ? Number(options.get('timeout')) : Infinity
  if (!(seconds >= 0)) throw usage(`--timeout: expected seconds, got ${options.get('timeout')}`)
  if (isUndo && options.has('wait')) throw usage('--undo has nothing to wait for')
  const path = isUndo ? '/v1/undrain' : '/v1/drain'
  const answer = await question<{ services: string[] }>(invocation, {
    method: 'POST',
    path,
    body: { server },
  })
  await show(invocation, { server, ...answer }, () => {
    const { services } = answer
    const says = isUndo ? 'gets connections again' : 'gets no new connections, and keeps those that it has'
    if (services.length > 0) return `${server} ${says}, of ${services.join(', ')}\n`
    return `${server} is a server of no service now: ${isUndo ? 'it is not drained any more' : 'it will be drained when it becomes one'}\n`
  })
  if (options.has('wait')) await untilEnded(invocation, server, seconds * 1000)
}

const pauseMilliseconds = 250

/** Nobody is told when the last connection ends: the kernel is asked again and again. */
async function untilEnded(invocation: Invocation, server: string, milliseconds: number): Promise<void> {
  const query = new URLSearchParams({ server })
  const path = `/v1/connections?${query.toString()}`
  const end = performance.now() + milliseconds
  for (;;) {
    const { connections } = await question<{ connections: number }>(invocation, { path })
    if (connections === 0)
      return show(invocation, { server, connections }, () => 'its connections have ended\n')
    if (performance.now() >= end)
      throw new UsageError(`${server} has ${count(connections, 'connection')} still`, exitFailed)
    await setTimeout(pauseMilliseconds)
  }
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`
}

export async function explain(invocation: Invocation): Promise<void> {
  const [target, ...rest] = invocation.words
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(target ?? '')
  if (match === null || rest.length > 0) throw usage('explain what? ADDRESS:PORT, [ADDRESS]:PORT for IPv6')
  const query = new URLSearchParams({ address: match[1] ?? match[2]!, port: match[3]! })
  for (const name of ['from', 'protocol'] as const) {
    const value = invocation.options.get(name)
    if (value !== undefined) query.set(name, value)
  }
  const view = await question<Explanation>(invocation, { path: `/v1/explain?${query.toString()}` })
  await show(invocation, view, () => explanationText(view))
}

function question<T>({ options }: Invocation, asking: Omit<Asking, 'socket'>): Promise<T> {
  return ask<T>({ ...asking, socket: options.get('socket') ?? defaultSocket })
}

async function show({ streams, isJson }: Invocation, value: object, text: () => string): Promise<void> {
  await write(streams.stdout, isJson ? `${toJson(value)}\n` : text())
}

/** One JSON object a line. */
async function showAll<T extends object>(
  { streams, isJson }: Invocation,
  values: readonly T[],
  text: (values: readonly T[]) => string,
): Promise<void> {
  await write(streams.stdout, isJson ? values.map((value) => `${toJson(value)}\n`).join('') : text(values))
}

function noWords({ words }: Invocation): void {
  if (words.length > 0) throw usage(`${words[0]!} is one word too many`)
}
