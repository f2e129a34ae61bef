/** What newer kernels have of nf_tables, one by one: taken and told there, and refused with what it needs elsewhere. */
import { release } from 'node:os'
import t from 'tap'
import { isOlder } from '../../src/netlink/newer.js'
import { expressionTables } from '../../src/nftables/expressions/index.js'
import { type ChainInput, type ExpressionInput, Nftables, type TableInput } from '../../src/nftables/index.js'
import { uses } from '../lab/support/features.js'
import { place } from './nft.js'
import { isLab, isLacking, since } from './since.js'

const family = 'inet'
const inTable = { family, table: 't' } as const

/** Where a rule stands: what its chain is beside its name. */
type Where = Partial<ChainInput> & Pick<ChainInput, 'family'>

/** Puts a rule into a chain of its own. Resolves to its expressions as they are told. */
async function rule(
  nftables: Nftables,
  expressions: readonly ExpressionInput[],
  chain: Where = { family },
): Promise<unknown> {
  const where = { family: chain.family, table: 't' }
  await nftables
    .transaction()
    .add('table', { family: where.family, name: 't' })
    .add('chain', { ...chain, ...where, name: 'c' })
    .commit()
  await nftables
    .transaction()
    .add('rule', { ...where, chain: 'c', expressions })
    .commit()
  const [read] = await nftables.rules(where)
  return read!.expressions
}

const bridge = { family: 'bridge', hook: 'prerouting' } as const
const load = (register: number): ExpressionInput => ({
  name: 'immediate',
  destinationRegister: register,
  data: new Uint8Array(4),
})

interface Newer {
  readonly feature: string
  readonly first: string
  readonly expressions: readonly ExpressionInput[]
  readonly chain?: Where
}
const newer: readonly Newer[] = [
  {
    feature: 'nftables-inner',
    first: '6.2',
    expressions: [
      {
        name: 'inner',
        number: 0,
        type: 'geneve',
        flags: ['header-size', 'link', 'network', 'transport'],
        headerSize: 8,
        expression: {
          name: 'payload',
          destinationRegister: 1,
          base: 'tunnel',
          offset: 4,
          length: 3,
        } as ExpressionInput,
      },
    ],
  },
  {
    feature: 'nftables-meta-broute',
    first: '6.4',
    chain: bridge,
    expressions: [load(1), { name: 'meta', sourceRegister: 1, key: 'broute' }],
  },
  {
    feature: 'nftables-bitwise-registers',
    first: '6.13',
    expressions: (['and', 'or', 'xor'] as const).flatMap((operation) => [
      load(1),
      load(2),
      {
        name: 'bitwise' as const,
        sourceRegister: 1,
        secondSourceRegister: 2,
        destinationRegister: 3,
        length: 4,
        operation,
      },
    ]),
  },
  {
    feature: 'nftables-meta-ibrhwaddr',
    first: '6.18',
    chain: bridge,
    expressions: [{ name: 'meta', destinationRegister: 1, key: 'ibrhwaddr' }],
  },
]

for (const { feature, first, expressions, chain } of newer) {
  t.test(`${feature}: since Linux ${first}`, async (t) => {
    const { nftables } = await place(t)
    await since(t, feature, first, async () => {
      t.match(await rule(nftables, expressions, chain), expressions)
    })
  })
}

t.test('what is too new is named among what else failed, and nothing is done', async (t) => {
  const { nftables } = await place(t)
  const bad = { ...inTable, chain: 'nowhere', expressions: [] }
  const isNew = await since(t, 'nftables-table-persist', '6.9', () =>
    nftables
      .transaction()
      .add('table', { family, name: 'kept', flags: ['owner', 'persist'] })
      .commit(),
  )
  t.same((await nftables.tables()).length, isNew ? 1 : 0)
  if (isNew) return
  const error = await nftables
    .transaction()
    .add('table', { family, name: 't' })
    .add('rule', bad)
    .add('table', { family, name: 'kept', flags: ['owner', 'persist'] })
    .commit()
    .catch((reason: unknown) => reason)
  t.match(error, {
    name: 'UnsupportedError',
    feature: 'nftables.addTable: flags "persist"',
    needs: 'Linux ≥ 6.9',
    cause: {
      name: 'BatchError',
      failures: [
        { index: 1, operation: 'nftables.addRule', error: { code: 'ENOENT', attribute: { path: 'chain' } } },
        { index: 2, operation: 'nftables.addTable', error: { name: 'UnsupportedError' } },
      ],
    },
  })
  t.same(await nftables.tables(), [])
})

t.test('a table that persists is left by its owner, and can be had again', async (t) => {
  const { netns, nftables } = await place(t)
  const owned = { family, name: 'kept', flags: ['owner', 'persist'] } satisfies TableInput
  const owner = await Nftables.open({ netns })
  const isNew = await since(t, 'nftables-table-persist', '6.9', () =>
    owner.transaction().add('table', owned).commit(),
  )
  owner.close()
  if (!isNew) return
  const [table] = await nftables.tables()
  t.match(table, { name: 'kept', flags: ['persist'], owner: undefined })
  await nftables.transaction().add('table', owned).commit()
  t.ok((await nftables.tables())[0]!.owner! > 0, 'another one owns it now')
})

t.test('what is destroyed need not be there; before Linux 6.3 it is looked for', async (t) => {
  const { nftables } = await place(t)
  await nftables
    .transaction()
    .add('table', { family, name: 't' })
    .add('chain', { ...inTable, name: 'c' })
    .add('set', { ...inTable, name: 's', keyType: 7, keyLength: 4, id: 1 })
    .add('object', { ...inTable, name: 'o', type: 'counter', data: {} })
    .commit()
  for (let round = 0; round < 2; round++) {
    await nftables
      .transaction()
      .destroy('elements', { ...inTable, set: 's', elements: [{ key: new Uint8Array(4) }] })
      .destroy('chain', { ...inTable, name: 'c' })
      .destroy('object', { ...inTable, name: 'o', type: 'counter' })
      .commit()
  }
  t.same([await nftables.chains(), await nftables.objects()], [[], []])
  await nftables
    .transaction()
    .destroy('set', { ...inTable, name: 's' })
    .commit()
  await nftables.transaction().destroy('table', { family, name: 't' }).commit()
  t.same(await nftables.tables(), [])
  if (!isOlder(release(), '6.3')) uses('nftables-destroy')
})

t.test('a check changes nothing and says what would fail', async (t) => {
  const { nftables } = await place(t)
  const generation = await nftables.generation()
  const made = nftables.transaction().add('table', { family, name: 't' })
  await made.check()
  t.same([await nftables.tables(), await nftables.generation()], [[], generation])
  made.add('rule', { ...inTable, chain: 'c', expressions: [] })
  const error = await made.check().catch((reason: unknown) => reason)
  t.match(error, { failures: [{ index: 1, error: { code: 'ENOENT' } }] })
})

t.test('an element gets another timeout in place since Linux 6.12', async (t) => {
  const { nftables } = await place(t)
  const set = { ...inTable, name: 's' }
  const element = { key: Uint8Array.of(10, 0, 0, 1) }
  const put = (timeoutMilliseconds: number) =>
    nftables
      .transaction()
      .add('elements', { ...inTable, set: 's', elements: [{ ...element, timeoutMilliseconds }] })
      .commit()
  await nftables
    .transaction()
    .add('table', { family, name: 't' })
    .add('set', { ...set, keyType: 7, keyLength: 4, flags: ['timeout'], id: 1 })
    .commit()
  await put(60_000)
  await put(7_200_000)
  const [read] = (await nftables.elements(set)).elements
  const isOld = isOlder(release(), '6.12')
  t.match(
    read,
    { timeoutMilliseconds: isOld ? 60_000 : 7_200_000 },
    'older kernels keep the first, in silence',
  )
  if (!isOld) uses('nftables-element-timeout')
})

t.test('what keeps a set and how much it holds is told since Linux 6.16', async (t) => {
  const { nftables } = await place(t)
  await nftables
    .transaction()
    .add('table', { family, name: 't' })
    .add('set', { ...inTable, name: 's', keyType: 7, keyLength: 4, id: 1 })
    .add('elements', { ...inTable, set: 's', elements: [{ key: new Uint8Array(4) }] })
    .commit()
  const [set] = await nftables.sets()
  const isOld = isOlder(release(), '6.16')
  t.match(set, isOld ? { backend: undefined, count: undefined } : { backend: String, count: 1 })
  if (!isOld) uses('nftables-set-backend')
})

/** Families and hooks that have what no chain of inet has. */
const elsewhere: Readonly<Record<string, Where>> = {
  'meta broute': bridge,
  'meta ibrname': bridge,
  'meta obrname': { family: 'bridge', hook: 'postrouting' },
  'meta ibrpvid': bridge,
  'meta ibrvproto': bridge,
  'meta ibrhwaddr': bridge,
  'meta sdif': { family, hook: 'input' },
  'meta sdifname': { family, hook: 'input' },
  'meta ipsec': { family, hook: 'forward' },
  'ct src': { family: 'ip', hook: 'prerouting' },
  'ct dst': { family: 'ip', hook: 'prerouting' },
  'ct zone': { family, hook: 'prerouting', priority: 'raw' },
  'rt nexthop4': { family: 'ip', hook: 'output' },
  'rt nexthop6': { family: 'ip6', hook: 'output' },
  'rt tcpmss': { family, hook: 'output' },
  'rt ipsec': { family, hook: 'output' },
}
/** Of what each direction has its own. */
const directed = new Set('src dst proto-src proto-dst src-ip dst-ip src-ip6 dst-ip6'.split(' '))
/** Keys that are not loaded. */
const onlySet = new Set(['broute', 'nftrace', 'event'])

t.test('every key that tells something of a packet is taken', async (t) => {
  const { nftables } = await place(t)
  const chains = new Map<string, { readonly chain: Where; readonly rules: ExpressionInput[][] }>()
  for (const name of ['meta', 'ct', 'rt'] as const) {
    const { type } = expressionTables[name].rows.key
    for (const key of Object.keys((type as unknown as { readonly names: object }).names)) {
      if (isOlder(release(), type.sinceOf?.(key) ?? '0.0')) continue
      const register = onlySet.has(key) ? { sourceRegister: 1 } : { destinationRegister: 1 }
      const direction = directed.has(key) ? { direction: 'original' } : {}
      const expression = { name, key, ...register, ...direction } as unknown as ExpressionInput
      const chain = elsewhere[`${name} ${key}`] ?? { family, hook: 'prerouting' }
      const own = chains.get(JSON.stringify(chain)) ?? { chain, rules: [] }
      chains.set(JSON.stringify(chain), own)
      own.rules.push(onlySet.has(key) ? [load(1), expression] : [expression])
    }
  }
  for (const [name, { chain, rules }] of chains) {
    const where = { family: chain.family, table: name }
    const transaction = nftables
      .transaction()
      .add('table', { family: chain.family, name })
      .add('chain', { ...chain, ...where, name: 'c' })
    for (const expressions of rules) transaction.add('rule', { ...where, chain: 'c', expressions })
    try {
      await transaction.commit()
    } catch (error) {
      if (isLab || !isLacking(error)) throw error
      t.comment(`${release()} lacks a module: ${name}`)
      continue
    }
    t.match(
      (await nftables.rules(where)).map(({ expressions }) => expressions),
      rules,
      name,
    )
  }
})
