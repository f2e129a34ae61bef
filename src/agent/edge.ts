/** Addresses that go with the master. */
import { VirtualRouter } from '../edge/index.js'
import type { Netns } from '../net/index.js'
import type { AgentConfiguration } from './configuration.js'
import type { AgentLog } from './log.js'

type EdgeConfiguration = NonNullable<AgentConfiguration['edge']>

/** The addresses, for as long as this part of the configuration stays. Undefined where there are none to hold. */
export async function startRouter(
  { device, addresses = [], vrrp }: EdgeConfiguration,
  netns: Netns | undefined,
  log: AgentLog,
): Promise<VirtualRouter | undefined> {
  if (device === undefined || vrrp?.virtualRouterId === undefined) return undefined
  const { virtualRouterId, ...others } = vrrp
  const router = await VirtualRouter.start({
    netns,
    device,
    addresses,
    vrrp: { virtualRouterId, ...others },
    onError: (error) =>
      log.error({ error: error.message }, 'edge: something cannot be done, and is tried again'),
  })
  router.leader.subscribe((event) => {
    if (event.event === 'acquired') log.info({ addresses }, 'edge: master')
    else if (event.event === 'lost') log.warn({ reason: event.reason }, 'edge: no longer master')
    else log.warn({}, 'edge: another master gave way')
  })
  return router
}
