/** What is in the kernel, as virtual services again. Pure. */
import type { ServiceEntry } from '../../ipvs/index.js'
import { serviceId } from '../../ipvs/input.js'
import type { Frontend } from '../../model/index.js'
import type { ProgrammedService } from '../dataplane.js'
import { kindOfBits, trait } from './words.js'
import { secondsOfBits } from './affinity.js'
import type { Claim, Found } from './reading.js'

type Server = ProgrammedService['cluster'][number]

/** Claims of one number are one virtual service's; without a table each address is one by itself. */
export function programmedOf({ claims, entries }: Pick<Found, 'claims' | 'entries'>): ProgrammedService[] {
  const byId = new Map(entries.map((entry) => [serviceId(entry.service), entry]))
  if (claims.size === 0) return entries.flatMap(programmedAlone)
  const groups = new Map<string, Claim[]>()
  for (const claim of claims.values()) {
    const id = `${claim.mark} ${claim.family} ${claim.key.protocol}`
    groups.set(id, [...(groups.get(id) ?? []), claim])
  }
  const inOrder = [...groups.values()].sort(([one], [other]) => one!.mark - other!.mark)
  return inOrder.map((group) => {
    const { family, key, mark } = group[0]!
    const found = group.flatMap((claim) => {
      const entry = byId.get(serviceId(claim.key))
      return entry === undefined ? [] : [{ claim, entry }]
    })
    const split = byId.get(serviceId({ firewallMark: mark, family }))
    const poolOf = (isLocal: boolean): Server[] =>
      serversOf(found.find(({ claim }) => ((claim.traits & trait.local) !== 0) === isLocal)?.entry)
    const remembered = secondsOfBits(group[0]!.traits)
    const affinity = remembered === 0 ? (found[0]?.entry.service.persistenceTimeoutSeconds ?? 0) : remembered
    return {
      frontends: frontendsOf(group),
      family,
      protocol: key.protocol,
      cluster: split === undefined ? poolOf(false) : serversOf(split),
      local: poolOf(true),
      ...(affinity === 0 ? {} : { affinitySeconds: affinity }),
    }
  })
}

function frontendsOf(group: readonly Claim[]): Frontend[] {
  const frontends = new Map<string, Frontend>()
  const rank = ({ traits, key }: Claim): string => `${traits & trait.kind} ${serviceId(key)}`
  for (const { key, traits } of [...group].sort((one, other) => (rank(one) < rank(other) ? -1 : 1))) {
    const kind = kindOfBits(traits)
    const { address, port } = key
    const frontend: Frontend =
      kind === 'node-port' ? { kind, port } : { kind: kind === 'cluster' ? kind : 'external', address, port }
    frontends.set(JSON.stringify(frontend), frontend)
  }
  return [...frontends.values()]
}

function programmedAlone(entry: ServiceEntry): ProgrammedService[] {
  const { service } = entry
  if (service.address === undefined) return []
  const { address, port, family, protocol, persistenceTimeoutSeconds: affinity } = service
  return [
    {
      frontends: [{ kind: 'cluster', address, port }],
      family,
      protocol,
      cluster: serversOf(entry),
      local: [],
      ...(affinity === 0 ? {} : { affinitySeconds: affinity }),
    },
  ]
}

/** Those that take new connections, in an order of their own: the kernel's is that of its making. */
function serversOf(entry: ServiceEntry | undefined): Server[] {
  return (entry?.destinations ?? [])
    .filter(({ weight }) => weight > 0)
    .map(({ address, port, weight }) => ({ address, port, weight }))
    .sort((one, other) =>
      one.address < other.address ? -1 : one.address > other.address ? 1 : one.port - other.port,
    )
}
