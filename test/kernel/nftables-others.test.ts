/** Beside other programs: what they have made stays as it is, byte by byte, whatever we do; what they do is seen. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { isBatchError } from '../../src/errors/index.js'
import { kinds } from '../../src/nftables/kinds.js'
import {
  accept,
  addRule,
  counter,
  drop,
  ip,
  type Nftables,
  type NftablesEvent,
  NamedSet,
  tcp,
  types,
} from '../../src/nftables/index.js'
import { copy, nftIn, place as plainPlace, type Place } from './nft.js'
import { dumps } from './nftables-dumps.js'
import { containers, firewall, iptables } from './nftables-others.js'

const run = promisify(execFile)
const packages = new URL('../../../scripts/packages.mjs', import.meta.url)

/** A program in the namespace; what it prints. */
async function inside({ netns }: Place, program: string, ...args: readonly string[]): Promise<string> {
  const [enter, [namespace]] = nftIn(netns, [])
  return (await run(enter, [namespace!, program, ...args])).stdout
}

/** Has the rulesets of a firewall, of container engines and of iptables. */
async function crowded(t: Test): Promise<Place> {
  const here = await plainPlace(t)
  const ofIpv6 = iptables.replaceAll(/^.*172\..*\n/gm, '')
  const files = t.testdir({ firewall, containers, iptables, ip6tables: ofIpv6 })
  await here.nft('-f', `${files}/firewall`)
  await here.nft('-f', `${files}/containers`)
  await inside(here, 'iptables-nft-restore', `${files}/iptables`)
  await inside(here, 'ip6tables-nft-restore', `${files}/ip6tables`)
  return here
}

t.before(async () => {
  const { ensurePackages } = (await import(packages.href)) as {
    readonly ensurePackages: (names: readonly string[], options: { readonly why: string }) => Promise<void>
  }
  await ensurePackages(['iptables', 'nftables'], { why: 'test beside other programs’ tables' })
})

/** Everything that the kernel tells of all but ours, handles and uses included. */
async function untouched(here: Place): Promise<unknown> {
  const all = await dumps(here.netns, {})
  const ours = Buffer.from('ours\0').toString('hex')
  return Object.fromEntries(
    Object.keys(kinds).map((kind) => [
      kind,
      all[kind as keyof typeof all].filter((text) => !text.includes(`:${ours}`) && !text.includes(' ours ')),
    ]),
  )
}

const family = 'inet'
const where = { family, table: 'ours' } as const

/** What a program of ours does in its life: making, changing, failing, trying, reading and flushing. */
const life: Readonly<Record<string, (nftables: Nftables) => Promise<unknown>>> = {
  async making(nftables) {
    const set = new NamedSet({ ...where, name: 's' }, types.ipv4Addr, { autoMerge: true })
    const transaction = nftables
      .transaction()
      .add('table', { family, name: 'ours' })
      .add('chain', { ...where, name: 'input', hook: 'input', priority: 'filter' })
      .add('chain', { ...where, name: 'nat', type: 'nat', hook: 'prerouting', priority: 'dstnat' })
      .add('set', set.input)
      .add('elements', set.elementsOf(['10.0.0.0/8']))
    addRule(transaction, { ...where, chain: 'input' }, ip.saddr.in(set), counter, accept)
    addRule(transaction, { ...where, chain: 'input' }, tcp.dport.in([1, 2]), drop)
    await transaction.commit()
    await nftables
      .transaction()
      .add('elements', set.elementsOf(['11.0.0.0/8']))
      .commit()
  },
  async reading(nftables) {
    await nftables.ruleset()
    await nftables.resetRules(where)
  },
  async failing(nftables) {
    const transaction = nftables.transaction().flush('table', { family, name: 'ours' })
    addRule(transaction, { ...where, chain: 'nowhere' }, accept)
    await transaction.commit().catch((error: unknown) => {
      if (!isBatchError(error)) throw error
    })
  },
  trying: (nftables) =>
    nftables
      .transaction()
      .delete('table', { family, name: 'firewalld' })
      .delete('table', { family: 'ip', name: 'filter' })
      .check(),
  emptying: (nftables) => nftables.transaction().flush('table', { family, name: 'ours' }).commit(),
  removing: (nftables) => nftables.transaction().destroy('table', { family, name: 'ours' }).commit(),
}

t.test('whatever we do, what others have made stays as it is', async (t) => {
  const here = await crowded(t)
  const before = await untouched(here)
  const listed = await here.nft('list', 'ruleset')
  for (const [what, step] of Object.entries(life)) {
    await step(here.nftables)
    t.same(await untouched(here), before, what)
  }
  t.equal(await here.nft('list', 'ruleset'), listed)
})

t.test('what others have made is read, and sent again into an empty namespace, byte by byte', async (t) => {
  const [from, to] = [await crowded(t), await plainPlace(t)]
  const ruleset = await from.nftables.ruleset()
  const names = new Set(ruleset.rules.flatMap(({ expressions = [] }) => expressions.map(({ name }) => name)))
  t.ok(names.has('match') && names.has('target'), 'some are of iptables alone')
  await copy(ruleset, to.nftables)
  t.same(await dumps(to.netns), await dumps(from.netns))
  t.equal(await to.nft('list', 'ruleset'), await from.nft('list', 'ruleset'))
  t.match(
    await inside(to, 'iptables-nft', '-S'),
    /-A INPUT .*-m string --string "evil" --algo bm.* -j REJECT/,
    'iptables knows it again',
  )
})

t.test('who flushes the ruleset is seen, and who decided before it is told', async (t) => {
  const here = await crowded(t)
  const { nftables } = here
  const ifGeneration = await nftables.generation()
  const tables = await nftables.tables()
  const events = nftables.monitor()
  await here.nft('flush', 'ruleset')
  const late = nftables.transaction().add('table', { family, name: 'ours' })
  await t.rejects(late.commit({ ifGeneration }), {
    code: 'ERESTART',
    kernelMessage: 'the ruleset was changed since that generation',
    hint: /Read it again/,
  })
  const gone: unknown[] = []
  let last: NftablesEvent | undefined
  for await (const event of events) {
    last = event
    if (event.event === 'generation') break
    if (event.event === 'gone' && event.kind === 'table') gone.push((event.object as { name: string }).name)
  }
  t.same(gone.sort(), tables.map(({ name }) => name).sort())
  t.match(last, { event: 'generation', processName: 'nft' })
  t.same(await nftables.tables(), [], 'and nothing of ours was made')
})
