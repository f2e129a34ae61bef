/** Are two virtual services the same to a dataplane? Written out, for it is asked at every change. */
import type { Frontend, RealServer, Servers, VirtualService } from './virtual-service.js'

export function sameVirtualService(a: VirtualService, b: VirtualService): boolean {
  return (
    a.key === b.key &&
    a.scheduler === b.scheduler &&
    a.affinitySeconds === b.affinitySeconds &&
    a.internalTrafficPolicy === b.internalTrafficPolicy &&
    a.externalTrafficPolicy === b.externalTrafficPolicy &&
    sameFrontends(a.frontends, b.frontends) &&
    sameServers(a.servers, b.servers) &&
    sameTexts(a.sourceRanges, b.sourceRanges)
  )
}

function sameFrontends(a: readonly Frontend[], b: readonly Frontend[]): boolean {
  if (a === b) return true
  if (a.length !== b.length) return false
  for (let index = 0; index < a.length; index++) {
    if (!sameFrontend(a[index]!, b[index]!)) return false
  }
  return true
}

export function sameFrontend(a: Frontend, b: Frontend): boolean {
  return a.kind === b.kind && a.port === b.port && addressOf(a) === addressOf(b)
}

function addressOf(frontend: Frontend): string | undefined {
  return frontend.kind === 'node-port' ? undefined : frontend.address
}

export function sameServers(a: Servers, b: Servers): boolean {
  return (
    a.any === b.any &&
    sameList(a.cluster, b.cluster) &&
    sameList(a.local, b.local) &&
    sameList(a.draining, b.draining) &&
    sameList(a.failed ?? none, b.failed ?? none)
  )
}

const none: readonly RealServer[] = []

function sameList(a: readonly RealServer[], b: readonly RealServer[]): boolean {
  if (a === b) return true
  if (a.length !== b.length) return false
  for (let index = 0; index < a.length; index++) {
    const [one, other] = [a[index]!, b[index]!]
    if (
      one.address !== other.address ||
      one.port !== other.port ||
      one.weight !== other.weight ||
      one.isLocal !== other.isLocal
    ) {
      return false
    }
  }
  return true
}

export function sameTexts(a: readonly string[] | undefined, b: readonly string[] | undefined): boolean {
  if (a === b) return true
  if (a === undefined || b === undefined || a.length !== b.length) return false
  return a.every((text, index) => text === b[index])
}
