/** Sets of intervals that merge what is added to them: the same commands by a transaction and by Debian's nft. */
import t, { type Test } from 'tap'
import { isBatchError } from '../../src/errors/index.js'
import { NETLINK_NETFILTER, openSocket, type Transport } from '../../src/netlink/index.js'
import { Nftables } from '../../src/nftables/index.js'
import { NamedSet, type NamedSetOptions, types } from '../../src/nftables/builder/index.js'
import type { DataType } from '../../src/nftables/builder/datatypes.js'
import type { IntervalOf } from '../../src/nftables/builder/intervals.js'
import { type Place, place } from './nft.js'

const family = 'inet'
const where = { family, table: 't' } as const
const autoMerge = { autoMerge: true } as const

async function makeSet<Key>(
  { nftables }: Pick<Place, 'nftables'>,
  key: DataType<Key>,
  options: NamedSetOptions = autoMerge,
): Promise<NamedSet<Key>> {
  const set = new NamedSet({ ...where, name: 's' }, key, options)
  await nftables.transaction().add('table', { family, name: 't' }).add('set', set.input).commit()
  return set
}

const failure = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (error: unknown) => error,
  )

/**
 * Elements as nft writes them, and as the builder has them. Older versions of nft delete no part of an interval: for these
 * steps it is told in full what is to be.
 */
type Step<Key> = readonly [verb: 'add' | 'delete', nft: string, ...keys: readonly IntervalOf<Key>[]]

async function beside<Key>(t: Test, key: DataType<Key>, steps: readonly Step<Key>[]): Promise<void> {
  const [ours, theirs] = [await place(t), await place(t)]
  await theirs.nft(`add table inet t; add set inet t s { type ${key.name}; flags interval; auto-merge; }`)
  const set = await makeSet(ours, key)
  for (const [verb, text, ...keys] of steps) {
    if (verb === 'delete') await theirs.nft('flush set inet t s')
    await theirs.nft(`add element inet t s { ${text} }`)
    await ours.nftables.transaction()[verb]('elements', set.elementsOf(keys)).commit()
    t.equal(await ours.nft('list', 'ruleset'), await theirs.nft('list', 'ruleset'), `${verb} ${text}`)
  }
}

t.test('IPv4, with what is there', (t) =>
  beside(t, types.ipv4Addr, [
    ['add', '10.0.0.0/24', '10.0.0.0/24'],
    ['add', '10.0.1.0/24', '10.0.1.0/24'],
    ['add', '10.0.0.5, 10.0.0.7-10.0.0.9', '10.0.0.5', { from: '10.0.0.7', to: '10.0.0.9' }],
    ['add', '10.0.4.0/24, 10.0.2.0/24', '10.0.4.0/24', '10.0.2.0/24'],
    ['add', '10.0.1.0-10.0.5.3', { from: '10.0.1.0', to: '10.0.5.3' }],
    ['delete', '10.0.0.0/25, 10.0.1.128-10.0.5.3', { from: '10.0.0.128', to: '10.0.1.127' }],
    ['add', '224.0.0.0/3, 0.0.0.0/8', '224.0.0.0/3', '0.0.0.0/8'],
    ['delete', '0.0.0.0/8, 10.0.0.1-10.0.0.127, 10.0.1.128-10.0.5.3, 224.0.0.0/3', '10.0.0.0'],
    ['add', '10.0.0.0', '10.0.0.0'],
  ]),
)

t.test('IPv6, with what is there', (t) =>
  beside(t, types.ipv6Addr, [
    ['add', '2001:db8::/48', '2001:db8::/48'],
    ['add', '2001:db8:1::/48, 2001:db8::7', '2001:db8:1::/48', '2001:db8::7'],
    ['add', 'fe80::/10', 'fe80::/10'],
    ['delete', '2001:db8:0:1::-2001:db8:1:ffff:ffff:ffff:ffff:ffff, fe80::/10', '2001:db8::/64'],
  ]),
)

t.test('numbers of the packet and of the host', async (t) => {
  await beside(t, types.inetService, [
    ['add', '80, 443', 80, 443],
    ['add', '81-90, 442', { from: 81, to: 90 }, 442],
    ['delete', '80-84, 86-90, 442-443', 85],
  ])
  await beside(t, types.mark, [
    ['add', '0x10-0x20', { from: 0x10, to: 0x20 }],
    ['add', '0x21-0x1ff', { from: 0x21, to: 0x1ff }],
  ])
})

t.test('several operations of one transaction, and what they leave', async (t) => {
  const here = await place(t)
  const set = await makeSet(here, types.inetService)
  const commit = here.nftables.transaction()
  commit.add('elements', set.elementsOf([1, 2, { from: 10, to: 20 }]))
  commit.delete('elements', set.elementsOf([{ from: 12, to: 14 }]))
  commit.add('elements', set.elementsOf([{ from: 21, to: 30 }, 13]))
  commit.destroy('elements', set.elementsOf([{ from: 29, to: 40 }]))
  await commit.commit()
  t.match(await here.nft('list', 'set', family, 't', 's'), /elements = { 1-2, 10-11, 13, 15-28 }/)
  await here.nftables
    .transaction()
    .flush('set', { ...where, name: 's' })
    .add('elements', set.elementsOf([5]))
    .commit()
  t.match(await here.nft('list', 'set', family, 't', 's'), /elements = { 5 }/)
  const missing = here.nftables.transaction().delete('elements', set.elementsOf([{ from: 4, to: 6 }]))
  t.match(await failure(missing.commit()), { failures: [{ index: 0, error: { code: 'ENOENT' } }] })
  const [read] = await here.nftables.sets()
  t.match(read, { autoMerge: true, flags: ['interval'] })
})

t.test('a set that a program makes by its attributes merges, too', async (t) => {
  const { nftables, nft } = await place(t)
  const set = { ...where, name: 's', keyType: 13, keyLength: 2, flags: ['interval'], id: 1 } as const
  const port = (first: number, behind: number) =>
    [{ key: Uint8Array.of(0, first) }, { key: Uint8Array.of(0, behind), flags: ['interval-end'] }] as const
  await nftables
    .transaction()
    .add('table', { family, name: 't' })
    .add('set', { ...set, autoMerge: true, comment: 'merged' })
    .add('elements', { ...where, set: 's', autoMerge: true, elements: [...port(5, 9), ...port(7, 11)] })
    .commit()
  await nftables
    .transaction()
    .add('elements', { ...where, set: 's', autoMerge: true, elements: port(11, 12) })
    .commit()
  const listed = await nft('list', 'set', family, 't', 's')
  t.match(listed, /auto-merge[^]*comment "merged"[^]*elements = { 5-11 }/)
  await t.rejects(
    nftables
      .transaction()
      .add('set', { ...set, name: 'no', flags: [], autoMerge: true })
      .commit(),
    { name: 'ValidationError', path: 'operations[0].set.autoMerge' },
  )
})

t.test('without it what overlaps is refused, and what to do is told', async (t) => {
  const here = await place(t)
  const set = await makeSet(here, types.ipv4Addr, { flags: ['interval'] })
  await here.nftables
    .transaction()
    .add('elements', set.elementsOf(['10.0.0.0/24']))
    .commit()
  const again = here.nftables.transaction().add('elements', set.elementsOf(['10.0.0.128/25']))
  const error = await failure(again.commit())
  t.ok(isBatchError(error))
  t.match(error, { failures: [{ error: { code: 'EEXIST', hint: /overlaps .* `autoMerge`/ } }] })
})

/** A socket that lets somebody else in after each reading of elements. */
function interrupted(transport: Transport, between: () => Promise<unknown>): Transport {
  const getElements = (10 << 8) | 13
  return {
    close: () => transport.close(),
    async exchange(request, length, ...rest) {
      const type = new DataView(request.buffer, request.byteOffset).getUint16(4, true)
      const replies = await transport.exchange(request, length, ...rest)
      const bytes = replies.bytes.slice()
      if (type === getElements) await between()
      return { ...replies, bytes }
    },
  }
}

t.test('what somebody adds between reading and writing is neither lost nor in the way', async (t) => {
  const here = await place(t)
  const set = await makeSet(here, types.inetService)
  const others = [101, 300]
  const transport = interrupted(openSocket({ protocol: NETLINK_NETFILTER, netns: here.netns }), async () => {
    const port = others.shift()
    if (port !== undefined) await here.nft(`add element inet t s { ${port} }`)
  })
  const nftables = await Nftables.open({ transport })
  t.teardown(() => nftables.close())
  await nftables
    .transaction()
    .add('elements', set.elementsOf([{ from: 90, to: 100 }]))
    .commit()
  t.match(await here.nft('list', 'set', family, 't', 's'), /elements = { 90-101, 300 }/)
  // Whose generation the caller knows is told that it is another one.
  others.push(400)
  const ifGeneration = await nftables.generation()
  await t.rejects(
    nftables
      .transaction()
      .add('elements', set.elementsOf([7]))
      .commit({ ifGeneration }),
    {
      code: 'ERESTART',
    },
  )
})

t.test('10,000 prefixes become one interval', async (t) => {
  const here = await place(t)
  const set = await makeSet(here, types.ipv4Addr)
  const prefixes = Array.from({ length: 10_000 }, (_, index) => `10.${index >> 8}.${index & 255}.0/24`)
  await here.nftables
    .transaction()
    .add('elements', set.elementsOf(prefixes.slice(0, 5000)))
    .commit()
  await here.nftables
    .transaction()
    .add('elements', set.elementsOf(prefixes.slice(5000)))
    .commit()
  t.match(await here.nft('list', 'set', family, 't', 's'), /elements = { 10\.0\.0\.0-10\.39\.15\.255 }/)
})
