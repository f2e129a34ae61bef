import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'

type FindBadEdges = (source: string) => Promise<string[]>
const script = new URL('../../../scripts/check/edges.mjs', import.meta.url)
const { findBadEdges } = (await import(script.href)) as { findBadEdges: FindBadEdges }

/** Each rule with files that break it, and what the message must say: where, what, and what to do instead. */
const violations: Record<string, { files: Record<string, string>; says: RegExp[] }> = {
  'a pure room imports one that does I/O': {
    files: {
      'address/ip.ts': `import { open } from '../net/files.js'\nexport const a = open`,
      'net/files.ts': `export const open = 1`,
    },
    says: [
      /^src\/address\/ip\.ts:1 imports '\.\.\/net\/files\.js'\. This room is pure: take what you need as an argument/,
    ],
  },
  'a pure room does I/O': {
    files: { 'errors/kernel.ts': `\nimport { readFileSync } from 'node:fs'\nexport const a = readFileSync` },
    says: [/^src\/errors\/kernel\.ts:2 imports 'node:fs'\. This room is pure/],
  },
  'a family imports another family': {
    files: {
      'ipvs/client.ts': `import { links } from '../rtnetlink/links.js'\nexport const a = links`,
      'rtnetlink/links.ts': `export const links = 1`,
    },
    says: [
      /imports '\.\.\/rtnetlink\/links\.js'\. Families do not know each other: put what both need into netlink\//,
    ],
  },
  'a family imports only the types of another': {
    files: {
      'ipvs/client.ts': `import type { Link } from '../rtnetlink/links.js'\nexport type A = Link`,
      'rtnetlink/links.ts': `export type Link = 1`,
    },
    says: [/Families do not know each other/],
  },
  'a room imports one above its own': {
    files: {
      'netlink/socket.ts': `export { Ipvs } from '../ipvs/client.js'`,
      'ipvs/client.ts': `export const Ipvs = 1`,
    },
    says: [
      /^src\/netlink\/socket\.ts:1 .* A room imports from storeys below its own: pass the thing in as an argument/,
    ],
  },
  'a room of the ground imports one beside it without an arrow': {
    files: {
      'net/sockets.ts': `import { C } from '../netlink/connection.js'\nexport const a = C`,
      'netlink/connection.ts': `export const C = 1`,
    },
    says: [/A room imports from storeys below its own/],
  },
  'something imports the command': {
    files: {
      'testing/sandbox.ts': `export { main } from '../cli/main.js'`,
      'cli/main.ts': `export const main = 1`,
    },
    says: [/A room imports from storeys below its own/],
  },
  'production imports testing': {
    files: {
      'ipvs/service.ts': `export async function f() { return import('../testing/fake.js') }`,
      'testing/fake.ts': `export const fake = 1`,
    },
    says: [/^src\/ipvs\/service\.ts:1 .* Production code never imports testing\/: move what you need/],
  },
  'the command imports testing': {
    files: { 'cli/main.ts': `import '../testing/fake.js'`, 'testing/fake.ts': `export const fake = 1` },
    says: [/Production code never imports testing/],
  },
  'a family touches the addon': {
    files: {
      'ipvs/client.ts': `import { loadNative } from '../native.js'\nexport const a = loadNative`,
      'native.ts': `export const loadNative = 1`,
    },
    says: [/Only net\/ and netlink\/ touch the addon: offer what you need there/],
  },
  'another file than native.ts loads addons': {
    files: {
      'net/namespace.ts': `import { createRequire } from 'node:module'\nexport const a = createRequire`,
    },
    says: [/^src\/net\/namespace\.ts:1 imports 'node:module'\. Only native\.ts loads the addon/],
  },
  'the reconciler knows a dataplane': {
    files: {
      'reconciler/reconciler.ts': `import { IpvsDataplane } from '../dataplane/ipvs.js'\nexport const a = IpvsDataplane`,
      'dataplane/ipvs.ts': `export const IpvsDataplane = 1`,
    },
    says: [/The reconciler knows the Dataplane interface alone: take the dataplane as an argument/],
  },
  'the reconciler knows a family': {
    files: {
      'reconciler/reconciler.ts': `import { Ipvs } from '../ipvs/client.js'\nexport const a = Ipvs`,
      'ipvs/client.ts': `export const Ipvs = 1`,
    },
    says: [/The reconciler knows the Dataplane interface alone/],
  },
  'wire.ts reaches the client through another file': {
    files: {
      'ipvs/wire.ts': `export { helper } from './helper.js'`,
      'ipvs/helper.ts': `import { Ipvs } from './client.js'\nexport const helper = Ipvs`,
      'ipvs/client.ts': `export const Ipvs = 1`,
    },
    says: [
      /^src\/ipvs\/wire\.ts reaches src\/ipvs\/client\.ts\. wire\.ts holds tables: the client reads them/,
    ],
  },
  'files import each other in a circle': {
    files: {
      'netlink/a.ts': `export { b } from './b.js'`,
      'netlink/b.ts': `export { c } from './c.js'\nexport const b = 1`,
      'netlink/c.ts': `import { b } from './b.js'\nexport const c = b`,
    },
    says: [
      /^src\/netlink\/b\.ts → src\/netlink\/c\.ts → src\/netlink\/b\.ts\. Files must not import each other in a circle: move/,
    ],
  },
  'the library imports a package': {
    files: { 'ipvs/client.ts': `import { parse } from 'yaml'\nexport const a = parse` },
    says: [/^src\/ipvs\/client\.ts:1 imports 'yaml'\. The library has no run-time package/],
  },
  'the library starts a process': {
    files: { 'testing/sandbox.ts': `import { spawn } from 'node:child_process'\nexport const a = spawn` },
    says: [/No child process: speak netlink/],
  },
  'something outside src is imported': {
    files: { 'ipvs/client.ts': `import '../../test/helper.js'` },
    says: [/^src\/ipvs\/client\.ts:1 .* src\/ is what users install/],
  },
  'a room that nobody knows': {
    files: { 'misc/things.ts': `import '../errors/kernel.js'`, 'errors/kernel.ts': `export const a = 1` },
    says: [/has no row in scripts\/check\/edges\.mjs: add it/],
  },
}

for (const [name, { files, says }] of Object.entries(violations)) {
  t.test(name, async (t) => {
    const problems = await findBadEdges(plant(t.testdir(), files))
    t.equal(problems.length, says.length, problems.join('\n'))
    for (const [index, expected] of says.entries()) t.match(problems[index], expected)
  })
}

t.test('what the architecture allows is let through', async (t) => {
  const source = plant(t.testdir(), {
    'errors/kernel.ts': `import { inspect } from 'node:util'\nexport const a = inspect`,
    'native.ts': `import { createRequire } from 'node:module'\nimport '../src/errors/kernel.js'\nexport const a = createRequire`,
    'net/namespace.ts': `import '../native.js'\nimport '../errors/kernel.js'\nimport { open } from 'node:fs'\nexport const a = open`,
    'netlink/connection.ts': `import '../native.js'\nimport '../net/namespace.js'\nexport interface A { b: import('./types.js').B }`,
    'netlink/types.ts': `import type { A } from './connection.js'\nexport interface B { a: A }`,
    'genetlink/family.ts': `import '../netlink/connection.js'`,
    'ipvs/client.ts': `import './wire.js'\nimport '../genetlink/family.js'`,
    'ipvs/wire.ts': `import './schedulers.js'\nimport '../netlink/types.js'`,
    'ipvs/schedulers.ts': `export const rr = 1`,
    'rtnetlink/links.ts': `import '../netlink/connection.js'`,
    'testing/sandbox.ts': `import '../rtnetlink/links.js'\nimport '../net/namespace.js'`,
    'cli/main.ts': `import { Command } from 'commander'\nimport '../ipvs/client.js'\nexport const a = Command`,
    'index.ts': `export * from './ipvs/client.js'\nexport * from './errors/kernel.js'`,
  })
  t.strictSame(await findBadEdges(source), [])
})

function plant(folder: string, files: Record<string, string>): string {
  for (const [name, text] of Object.entries(files)) {
    const file = path.join(folder, 'src', name)
    mkdirSync(path.dirname(file), { recursive: true })
    writeFileSync(file, text)
  }
  return path.join(folder, 'src')
}
