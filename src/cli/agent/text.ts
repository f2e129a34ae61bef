/** What people read. */
import type {
  Description,
  EndpointView,
  Explanation,
  NodeView,
  ServiceView,
  StatusView,
} from '../../agent/index.js'

export function servicesText(services: readonly ServiceView[]): string {
  return table(
    ['NAMESPACE', 'NAME', 'TYPE', 'ADDRESS', 'EXTERNAL', 'PORTS', 'SERVERS', 'STATE'],
    services.map(({ namespace, name, type, addresses, external, ports, servers, state }) => [
      namespace,
      name,
      type,
      some(addresses),
      some(external),
      some(ports),
      `${servers[0]}/${servers[1]}`,
      state,
    ]),
  )
}

export function endpointsText(endpoints: readonly EndpointView[]): string {
  return table(
    ['SERVICE', 'ADDRESS', 'PORT', 'WEIGHT', 'STATE', 'LOCAL', 'WHY'],
    endpoints.map(({ service, address, port, weight, state, isLocal, standing }) => [
      service,
      address,
      String(port),
      String(weight),
      state,
      isLocal === undefined ? '-' : isLocal ? 'yes' : 'no',
      standing ?? '',
    ]),
  )
}

export function nodesText(nodes: readonly NodeView[]): string {
  return table(
    ['NAME', 'STATUS', 'ADDRESSES', 'ZONE'],
    nodes.map(({ name, status, addresses, zone }) => [name, status, some(addresses), zone ?? '-']),
  )
}

export function statusText(view: StatusView): string {
  const { dataplane, services, counts, health, edge, dns } = view
  const lines: (readonly [string, string])[] = [
    ['Running', `since ${view.startedAt}, process ${view.pid}`],
    [
      'Dataplane',
      `${dataplane.kind}${dataplane.chosenBecause === undefined ? '' : ` (${dataplane.chosenBecause})`}`,
    ],
    ...dataplane.missing.map(({ message }) => ['', message] as const),
    ['Manifests', view.manifests.join(', ') || 'none'],
    ['Services', `${services.programmed} programmed, ${services.pending} pending, ${services.failed} failed`],
    [
      'Changes',
      `${counts.applies} applied, ${counts.passes} full passes, ${counts.repairs} repairs, ${counts.writes} writes, ${counts.failures} failures`,
    ],
  ]
  if (health !== undefined)
    lines.push(['Health', `${health.servers} servers checked, ${health.down} down, ${health.out} out`])
  if (view.drained.length > 0) lines.push(['Drained', view.drained.join(', ')])
  if (edge !== undefined)
    lines.push([
      'Edge',
      `${edge.isMaster ? 'master' : 'backup'} of ${edge.addresses.join(', ')}${edge.error === undefined ? '' : `; ${edge.error}`}`,
    ])
  if (dns !== undefined) lines.push(['DNS', `${dns.zones.join(', ')} at ${dns.addresses.join(', ')}`])
  if (view.keepsUnknown)
    lines.push(['Kept', 'what an earlier process programmed, until everything can be read'])
  const problems = view.problems.map(
    ({ object, at, reason, message }) =>
      `  ${[at, object, reason].filter((part) => part !== undefined).join(' ')}${(at ?? object ?? reason) ? ': ' : ''}${message}\n`,
  )
  return `${fields(lines)}${problems.length === 0 ? '' : `Problems\n${problems.join('')}`}`
}

export function descriptionText(view: Description): string {
  const head = fields([
    ['Name', `${view.namespace}/${view.name}`],
    ['Written in', view.at ?? 'unknown'],
    ['Type', view.type],
    ['Addresses', some(view.addresses)],
    ['External', some(view.external)],
    ['Ports', some(view.ports)],
    ['Policies', `internal ${view.internalTrafficPolicy}, external ${view.externalTrafficPolicy}`],
    ['Affinity', view.affinitySeconds === undefined ? 'none' : `${view.affinitySeconds} s`],
    ['Sources', view.sourceRanges === undefined ? 'everybody' : view.sourceRanges.join(', ')],
    ['State', view.state],
  ])
  const parts = view.virtualServices.map(({ key, frontends, scheduler, endpoints }) => {
    const rows = endpoints.map((one) => [
      one.address,
      String(one.port),
      String(one.weight),
      one.state,
      one.connections === undefined ? '-' : String(one.connections),
      one.standing ?? '',
    ])
    const list = table(['ADDRESS', 'PORT', 'WEIGHT', 'STATE', 'CONNECTIONS', 'WHY'], rows)
    const by = scheduler === undefined ? '' : `, scheduler ${scheduler}`
    return `\n${key}\n  ${frontends.join(', ')}${by}\n${list.replace(/^/gm, '  ').trimEnd()}\n`
  })
  const problems = view.problems.map(
    ({ reason, message }) => `  ${reason === undefined ? '' : `${reason}: `}${message}\n`,
  )
  return `${head}${parts.join('')}${problems.length === 0 ? '' : `\nProblems\n${problems.join('')}`}`
}

export function explanationText({ steps }: Explanation): string {
  return fields(steps.map(({ what, says }) => [what, says] as const))
}

function some(values: readonly string[]): string {
  return values.length === 0 ? '-' : values.join(',')
}

function fields(lines: readonly (readonly [string, string])[]): string {
  const width = Math.max(0, ...lines.map(([name]) => name.length)) + 2
  return lines.map(([name, value]) => `${name.padEnd(width)}${value}\n`).join('')
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((name, column) =>
    rows.reduce((width, row) => Math.max(width, row[column]!.length), name.length),
  )
  return [head, ...rows]
    .map(
      (row) =>
        `${row
          .map((cell, column) => cell.padEnd(widths[column]!))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('')
}
