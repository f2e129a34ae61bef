/** Names of the services, for as long as this part of the configuration stays. */
import { DnsServer } from '../dns/index.js'
import type { ServiceModel } from '../model/index.js'
import type { Netns } from '../net/index.js'
import type { AgentConfiguration } from './configuration.js'

export function startDns(
  { listen, rateLimit, ...others }: NonNullable<AgentConfiguration['dns']>,
  model: ServiceModel,
  netns: Netns | undefined,
): Promise<DnsServer> {
  const { responsesPerSecond, burst } = rateLimit ?? {}
  return DnsServer.start({
    ...others,
    model,
    netns,
    listen: listen?.map(({ address = '127.0.0.1', port }) => ({ address, port })),
    rateLimit: responsesPerSecond === undefined ? undefined : { responsesPerSecond, burst },
  })
}
