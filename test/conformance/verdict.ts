/** Whether what was seen is what had to be. Pure: each function returns what is wrong, or undefined. */
import { formatEndpoint } from '../../src/model/index.js'
import type { Attempt } from './network.js'
import type { Expected, Packet } from './situation.js'

/** What a verdict takes to know of the node. */
export interface NodeView {
  /** Whether packets from there start on the node. */
  isOnNode(address: string): boolean
  /** Its own addresses, and those of its links' ends. */
  readonly nodeAddresses: readonly string[]
}

/** Of one try that must reach an endpoint. */
export function wrongAnswer(
  { packet, from, outcome }: Attempt,
  expected: Expected & { readonly outcome: 'endpoints' },
  node: NodeView,
): string | undefined {
  if (outcome.result !== 'answered') return describe({ outcome })
  const { at, peer } = outcome
  if (!expected.endpoints.includes(at)) {
    return `${describe({ packet, outcome })}, which is none of ${expected.endpoints.join(', ')}`
  }
  const isNode = node.nodeAddresses.includes(peer)
  if (node.isOnNode(from)) return isNode ? undefined : `${at} saw ${peer}, which is no address of the node`
  if (expected.masquerade)
    return isNode ? undefined : `${at} saw ${peer} instead of the node: not masqueraded`
  return peer === from ? undefined : `${at} saw ${peer} instead of ${from}: masqueraded`
}

/** Of one try that is none of a service's. */
export function wrongPassage({ packet: { to, port }, from, fromPort, outcome }: Attempt): string | undefined {
  if (outcome.result !== 'answered') return describe({ outcome })
  const { at, peer, peerPort } = outcome
  if (at !== formatEndpoint(to, port)) return `it reached ${at} instead of ${formatEndpoint(to, port)}`
  if (peer === from && peerPort === fromPort) return undefined
  return `it arrived from ${formatEndpoint(peer, peerPort)} instead of ${formatEndpoint(from, fromPort)}`
}

/** Of one try that must be refused; how fast is told apart. */
export function wrongRefusal({ packet, outcome }: Attempt): string | undefined {
  if (outcome.result !== 'refused') return describe({ packet, outcome })
  return isRefusal(outcome.how) ? undefined : describe({ outcome })
}

const isRefusal = (how: string): boolean => how === 'TCP reset' || how === 'port unreachable'

/** Of one try that nobody may answer. */
export function wrongSilence({ packet, outcome }: Attempt): string | undefined {
  return outcome.result === 'silence' ? undefined : describe({ packet, outcome })
}

/** What was seen, in words. */
export function describe({ packet, outcome }: Pick<Attempt, 'outcome'> & { packet?: Packet }): string {
  switch (outcome.result) {
    case 'silence':
      return 'nobody answered'
    case 'refused':
      return `it was refused (${outcome.how}) after ${Math.round(outcome.milliseconds)} ms`
    case 'odd':
      return outcome.what
    case 'answered': {
      const isUntouched = packet !== undefined && outcome.at === formatEndpoint(packet.to, packet.port)
      return isUntouched ? `it went on untouched, to ${outcome.at}` : `it reached ${outcome.at}`
    }
  }
}
