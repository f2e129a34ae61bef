/**
 * Who may import whom: the walls of `docs/architecture.md`. A room is a folder of `src` (or a file in it, as
 * `native.ts`). Each rule says what to do instead. Types count: a room that knows another's types depends on it.
 */
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { importsOf, resolveRelative } from './imports.mjs'

const pure = ['errors', 'address', 'json']
const ground = [...pure, 'slices', 'event-queue', 'processes', 'net', 'netlink']
const family = [...ground, 'genetlink', 'nfnetlink']
const families = ['ipvs', 'nftables', 'rtnetlink', 'conntrack', 'sockdiag']

/** For each room the rooms that it may import. A new room gets a row here and a place in docs/architecture.md. */
const mayImport = {
  errors: [],
  address: ['errors'],
  json: [],
  slices: [],
  'event-queue': [],
  processes: ['slices'],
  model: pure,
  native: ['errors'],
  net: [...pure, 'native'],
  netlink: [...pure, 'slices', 'event-queue', 'native', 'net'],
  genetlink: ground,
  nfnetlink: ground,
  ipvs: family,
  nftables: family,
  rtnetlink: family,
  conntrack: family,
  sockdiag: family,
  dataplane: [...family, ...families, 'model'],
  reconciler: [...pure, 'model', 'dataplane', 'sources'],
  /** The subpath that joins the three. */
  services: [...pure, 'model', 'dataplane', 'reconciler'],
  health: [...ground, 'model', 'ipvs', 'conntrack', 'nftables'],
  edge: [...ground, 'model', 'rtnetlink', 'sources', 'reconciler', 'health'],
  dns: [...ground, 'model'],
  sources: [...ground, 'model'],
  agent: [
    ...ground,
    'model',
    'reconciler',
    'health',
    'edge',
    'dns',
    'sources',
    'dataplane',
    'rtnetlink',
    'sockdiag',
    'conntrack',
  ],
  testing: [...family, 'rtnetlink'],
  /** src/index.ts, what users import. */
  index: [...family, ...families, 'model', 'dataplane', 'reconciler', 'health', 'edge', 'dns', 'sources'],
}
/** Nothing may import these, but for what is named. */
const importedBy = { cli: [], agent: ['cli'], index: ['cli'], native: ['net', 'netlink'] }

/** Rooms whose work begins in a program of the user's: the library itself holds no package and starts no process. */
const programs = ['cli', 'agent']
/** Packages that a room may take: bundled with its subpath, which nothing of the core imports. */
export const packagesOf = { sources: ['yaml'], dns: ['dns-packet'] }
/** Packages of types alone: nothing of them is there at run time. */
const typePackages = ['kubernetes-types']

const advice = {
  pure: 'This room is pure: take what you need as an argument, and let the room above do the I/O.',
  family:
    'Families do not know each other: put what both need into netlink/ or genetlink/, or join them one storey above.',
  up: 'A room imports from storeys below its own: pass the thing in as an argument or an interface, or move it down.',
  testing: 'Production code never imports testing/: move what you need into the room that it belongs to.',
  dataplane: 'The reconciler knows the Dataplane interface alone: take the dataplane as an argument.',
  native: 'Only net/ and netlink/ touch the addon: offer what you need there, typed, and import that.',
  wire: 'wire.ts holds tables: the client reads them, never the reverse. Move what you need into wire.ts or a file of its own.',
  cycle:
    'Files must not import each other in a circle: move what both need into a file that imports neither.',
  addon: 'Only native.ts loads the addon, at the first open, so that importing works on any platform.',
  package:
    'The library has no run-time package: write it here, or do it in cli/, where packages are bundled.',
  process: 'No child process: speak netlink, or open the file inside the namespace through net/.',
  outside: 'src/ is what users install: what it needs lives in it, never in test/, scripts/ or dist/.',
  room: 'This folder of src/ has no row in scripts/check/edges.mjs: add it, and its place in docs/architecture.md.',
}

/**
 * @param {string} source  The folder that holds the rooms.
 * @returns {Promise<string[]>} one line for each import that stands where it must not
 */
export async function findBadEdges(source) {
  const files = (await readdir(source, { recursive: true })).filter((file) => /\.[cm]?ts$/.test(file)).sort()
  const graph = new Map()
  const problems = []
  for (const file of files) {
    const imports = await importsOf(path.join(source, file))
    const loads = []
    for (const { specifier, line, typeOnly } of imports) {
      const target = specifier.startsWith('.')
        ? path.relative(source, resolveRelative(path.join(source, file), specifier))
        : undefined
      const reason = target === undefined ? badPackage(file, specifier, typeOnly) : badEdge(file, target)
      if (reason !== undefined) problems.push(`src/${file}:${line} imports '${specifier}'. ${advice[reason]}`)
      if (target !== undefined && !typeOnly) loads.push(target)
    }
    graph.set(file, loads)
  }
  return [...problems, ...badWires(graph), ...cycles(graph)]
}

const roomOf = (file) => file.split(path.sep)[0].replace(/\.[cm]?ts$/, '')

function badEdge(file, target) {
  const [from, to] = [roomOf(file), roomOf(target)]
  if (to === '..') return 'outside'
  if (from === to) return undefined
  if (to === 'testing') return 'testing'
  if (importedBy[to]?.includes(from) === false) return to === 'native' ? 'native' : 'up'
  if (from === 'cli') return undefined
  if (!Object.hasOwn(mayImport, from)) return 'room'
  if (from === 'reconciler' && to === 'dataplane') {
    return /^dataplane.(ipvs|nftables|ebpf)\b/.test(target) ? 'dataplane' : undefined
  }
  if (mayImport[from].includes(to)) return undefined
  if (from === 'reconciler' && families.includes(to)) return 'dataplane'
  if (isPure(from)) return 'pure'
  return families.includes(from) && families.includes(to) ? 'family' : 'up'
}

const isPure = (room) => pure.includes(room) || room === 'model'

function badPackage(file, specifier, typeOnly) {
  const room = roomOf(file)
  if (specifier.startsWith('node:')) {
    if (isPure(room)) return /^node:(util|buffer)$/.test(specifier) ? undefined : 'pure'
    if (specifier === 'node:module' && room !== 'native') return 'addon'
    if (/^node:(child_process|cluster)$/.test(specifier) && !programs.includes(room)) return 'process'
    return undefined
  }
  const name = specifier.split('/')[0]
  if (typeOnly && typePackages.includes(name)) return undefined
  return programs.includes(room) || packagesOf[room]?.includes(name) ? undefined : 'package'
}

/** A wire.ts that reaches its room's client, service or other files that talk to the kernel. */
function badWires(graph) {
  const problems = []
  for (const file of graph.keys()) {
    if (path.basename(file) !== 'wire.ts') continue
    const reached = new Set(graph.get(file))
    for (const next of reached) {
      for (const further of graph.get(next) ?? []) reached.add(further)
    }
    for (const target of reached) {
      if (
        /^(client|service|connections|sysctl|diagnose|transaction|monitor)\.ts$/.test(path.basename(target))
      ) {
        problems.push(`src/${file} reaches src/${target}. ${advice.wire}`)
      }
    }
  }
  return problems
}

/** Circles of imports that are there at run time; each is told once, from the file that sorts first. */
function cycles(graph) {
  const problems = []
  const done = new Set()
  const visit = (file, trail) => {
    const at = trail.indexOf(file)
    if (at !== -1) {
      const circle = [...trail.slice(at), file].map((name) => `src/${name}`)
      problems.push(`${circle.join(' → ')}. ${advice.cycle}`)
      return
    }
    if (done.has(file)) return
    for (const next of graph.get(file) ?? []) visit(next, [...trail, file])
    done.add(file)
  }
  for (const file of graph.keys()) visit(file, [])
  return problems
}
