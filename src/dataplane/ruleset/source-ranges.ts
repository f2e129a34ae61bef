/** Whom a load balancer's addresses are open to. */
import { parsePrefix, prefixContains } from '../../address/index.js'
import type { VirtualService } from '../../model/index.js'

/**
 * Where a range admits an address of the node, what comes from the load balancer's own addresses is admitted, too: a node that has
 * taken such an address sends from it to it (kube-proxy does the same, for both of its rule sets).
 */
export function withOwnAddresses(service: VirtualService, nodeAddresses: readonly string[]): VirtualService {
  const { sourceRanges, frontends } = service
  if (sourceRanges === undefined) return service
  const prefixes = sourceRanges.flatMap((range) => parsePrefix(range) ?? [])
  const isAdmitted = nodeAddresses.some((address) =>
    prefixes.some((prefix) => prefixContains(prefix, address)),
  )
  if (!isAdmitted) return service
  const own = frontends.flatMap((frontend) => (frontend.kind === 'load-balancer' ? frontend.address : []))
  return { ...service, sourceRanges: [...new Set([...sourceRanges, ...own])] }
}
