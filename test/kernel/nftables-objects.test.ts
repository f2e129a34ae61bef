/** Every object, expression and verb of nf_tables once, as the running kernel takes and tells it; nft is not asked. */
import t, { type Test } from 'tap'
import { isUnsupportedError } from '../../src/errors/index.js'
import { expressionTables } from '../../src/nftables/expressions/index.js'
import {
  type ChainInput,
  type ElementInput,
  type ExpressionInput,
  Nftables,
  type ObjectInput,
  type SetInput,
} from '../../src/nftables/index.js'
import { objectTables } from '../../src/nftables/objects.js'
import { isHere, uses } from '../lab/support/features.js'
import { place } from './nft.js'
import { isLab, isLacking, since } from './since.js'

/** Whether the kernel lacks the module for it, or is too old. */
async function lacks(work: Promise<unknown>): Promise<boolean> {
  try {
    await work
    return false
  } catch (error) {
    if (isUnsupportedError(error) || isLacking(error)) return true
    throw error
  }
}

const family = 'inet'
const inTable = { family, table: 't' } as const
const address = Uint8Array.of(10, 0, 0, 1)
const number = (value: number): Uint8Array => new Uint8Array(Uint32Array.of(value).buffer)

/** Where each expression can stand, behind what it needs; `filter` of inet unless said. */
interface Example {
  readonly chain?: Omit<ChainInput, 'table' | 'name'> | undefined
  readonly expressions: readonly ExpressionInput[]
}
const saddr = { name: 'payload', destinationRegister: 1, base: 'network', offset: 12, length: 4 } as const
const port = { name: 'immediate', destinationRegister: 2, data: Uint8Array.of(0, 80) } as const
const load = (data: Uint8Array): ExpressionInput => ({ name: 'immediate', destinationRegister: 1, data })
const l4proto: readonly ExpressionInput[] = [
  { name: 'meta', destinationRegister: 1, key: 'l4proto' },
  { name: 'cmp', sourceRegister: 1, operation: '==', data: Uint8Array.of(6) },
]
const nat = (hook: 'prerouting' | 'postrouting'): Example['chain'] => ({ family, type: 'nat', hook })
const netdev: Example['chain'] = { family: 'netdev', hook: 'ingress', device: 'lo' }
const prerouting: Example['chain'] = { family, hook: 'prerouting' }
const output: Example['chain'] = { family, hook: 'output' }

const examples: { readonly [Name in keyof typeof expressionTables]: Example } = {
  bitwise: {
    expressions: [
      saddr,
      {
        name: 'bitwise',
        sourceRegister: 1,
        destinationRegister: 2,
        length: 4,
        operation: 'mask-xor',
        mask: Uint8Array.of(255, 255, 255, 0),
        xor: Uint8Array.of(0, 0, 0, 1),
      },
      {
        name: 'bitwise',
        sourceRegister: 1,
        destinationRegister: 1,
        length: 4,
        operation: 'left-shift',
        data: number(8),
      },
    ],
  },
  byteorder: {
    expressions: [
      { name: 'meta', destinationRegister: 1, key: 'mark' },
      {
        name: 'byteorder',
        sourceRegister: 1,
        destinationRegister: 1,
        operation: 'host-to-network',
        length: 4,
        size: 4,
      },
    ],
  },
  cmp: { expressions: [saddr, { name: 'cmp', sourceRegister: 1, operation: '<=', data: address }] },
  connlimit: { expressions: [{ name: 'connlimit', count: 20, flags: ['inverted'] }] },
  counter: { expressions: [{ name: 'counter', packets: 3n, bytes: 2n ** 40n }] },
  ct: { expressions: [{ name: 'ct', destinationRegister: 1, key: 'src-ip', direction: 'original' }] },
  dup: {
    chain: { family: 'ip', hook: 'prerouting' },
    expressions: [load(address), { name: 'dup', addressRegister: 1 }],
  },
  dynset: {
    expressions: [
      saddr,
      {
        name: 'dynset',
        set: 'seen',
        operation: 'update',
        keyRegister: 1,
        timeoutMilliseconds: 7000,
        flags: ['inverted'],
      },
    ],
  },
  exthdr: {
    expressions: [
      {
        name: 'exthdr',
        destinationRegister: 1,
        operation: 'tcp-option',
        type: 2,
        offset: 2,
        length: 2,
        flags: [],
      },
      { name: 'exthdr', operation: 'tcp-option', type: 4, offset: 0, length: 0, flags: [] },
    ],
  },
  fib: {
    chain: prerouting,
    expressions: [{ name: 'fib', destinationRegister: 1, result: 'oif', flags: ['saddr', 'iif', 'present'] }],
  },
  flow_offload: {
    chain: { family, hook: 'forward' },
    expressions: [{ name: 'flow_offload', flowtable: 'f' }],
  },
  fwd: { chain: netdev, expressions: [load(number(1)), { name: 'fwd', deviceRegister: 1 }] },
  hash: {
    expressions: [
      saddr,
      {
        name: 'hash',
        sourceRegister: 1,
        destinationRegister: 2,
        length: 4,
        modulus: 7,
        seed: 9,
        offset: 100,
        type: 'jenkins',
      },
      { name: 'hash', destinationRegister: 1, modulus: 9, type: 'symmetric' },
    ],
  },
  immediate: {
    expressions: [{ name: 'immediate', destinationRegister: 0, data: { code: 'goto', chain: 'other' } }],
  },
  inner: {
    expressions: [
      {
        name: 'inner',
        number: 0,
        type: 'vxlan',
        flags: ['header-size', 'link', 'network', 'transport'],
        headerSize: 8,
        expression: {
          name: 'payload',
          destinationRegister: 1,
          base: 'network',
          offset: 12,
          length: 4,
        } as ExpressionInput,
      },
    ],
  },
  last: { expressions: [{ name: 'last', isSet: 0, milliseconds: 0 }] },
  limit: {
    expressions: [
      { name: 'limit', rate: 10n, unitSeconds: 60, burst: 5, type: 'packets', flags: ['inverted'] },
    ],
  },
  log: { expressions: [{ name: 'log', group: 3, prefix: 'seen', length: 64, queueThreshold: 7 }] },
  lookup: { expressions: [saddr, { name: 'lookup', set: 'seen', sourceRegister: 1, flags: ['inverted'] }] },
  masq: { chain: nat('postrouting'), expressions: [{ name: 'masq', flags: ['fully-random'] }] },
  match: {
    chain: { family: 'ip', hook: 'input' },
    expressions: [
      {
        name: 'match',
        extension: 'mark',
        revision: 1,
        info: Uint8Array.of(1, 0, 0, 0, 255, 0, 0, 0, 0, 0, 0, 0),
      },
    ],
  },
  meta: {
    expressions: [
      { name: 'meta', destinationRegister: 1, key: 'mark' },
      { name: 'meta', sourceRegister: 1, key: 'priority' },
    ],
  },
  nat: {
    chain: nat('prerouting'),
    expressions: [
      ...l4proto,
      load(address),
      port,
      {
        name: 'nat',
        type: 'dnat',
        family: 'ip',
        addressMinimumRegister: 1,
        addressMaximumRegister: 1,
        portMinimumRegister: 2,
        portMaximumRegister: 2,
        flags: ['map-ips', 'proto-specified', 'persistent'],
      },
    ],
  },
  notrack: { chain: { ...prerouting, priority: 'raw' }, expressions: [{ name: 'notrack' }] },
  numgen: {
    expressions: [
      { name: 'numgen', destinationRegister: 1, modulus: 3, type: 'incremental', offset: 10 },
      { name: 'numgen', destinationRegister: 2, modulus: 5, type: 'random', offset: 0 },
    ],
  },
  objref: {
    expressions: [
      { name: 'objref', type: 'counter', object: 'c' },
      { name: 'meta', destinationRegister: 1, key: 'mark' },
      { name: 'objref', sourceRegister: 1, set: 'counters' },
    ],
  },
  osf: { expressions: [{ name: 'osf', destinationRegister: 1, ttl: 2, flags: ['version'] }] },
  payload: {
    expressions: [
      saddr,
      {
        name: 'payload',
        sourceRegister: 1,
        base: 'network',
        offset: 16,
        length: 4,
        checksumType: 'internet',
        checksumOffset: 10,
        checksumFlags: ['pseudo-header'],
      },
    ],
  },
  queue: { expressions: [{ name: 'queue', number: 3, total: 2, flags: ['bypass'] }] },
  quota: { expressions: [{ name: 'quota', bytes: 1000n, consumed: 7n, flags: ['inverted'] }] },
  range: {
    expressions: [
      saddr,
      { name: 'range', sourceRegister: 1, operation: '!=', from: address, to: Uint8Array.of(10, 0, 0, 9) },
    ],
  },
  redir: {
    chain: nat('prerouting'),
    expressions: [
      ...l4proto,
      port,
      { name: 'redir', portMinimumRegister: 2, portMaximumRegister: 2, flags: ['proto-specified'] },
    ],
  },
  reject: { expressions: [{ name: 'reject', type: 'icmpx', icmpCode: 3 }] },
  rt: { chain: output, expressions: [{ name: 'rt', destinationRegister: 1, key: 'classid' }] },
  socket: { expressions: [{ name: 'socket', destinationRegister: 1, key: 'mark' }] },
  synproxy: {
    expressions: [
      {
        name: 'synproxy',
        maximumSegmentSize: 1460,
        windowScale: 7,
        flags: ['mss', 'wscale', 'sack-permitted', 'timestamp'],
      },
    ],
  },
  target: {
    chain: { family: 'ip', hook: 'input' },
    expressions: [
      {
        name: 'target',
        extension: 'MARK',
        revision: 2,
        info: Uint8Array.of(1, 0, 0, 0, 255, 255, 255, 255),
      },
    ],
  },
  tproxy: {
    chain: { ...prerouting, priority: 'mangle' },
    expressions: [
      ...l4proto,
      load(address),
      port,
      { name: 'tproxy', family: 'ip', addressRegister: 1, portRegister: 2 },
    ],
  },
  tunnel: {
    chain: netdev,
    expressions: [{ name: 'tunnel', destinationRegister: 1, key: 'id', mode: 'rx' }],
  },
  xfrm: { expressions: [{ name: 'xfrm', destinationRegister: 1, key: 'reqid', direction: 'in', depth: 2 }] },
}

/** What rules of `examples` refer to. */
async function ground(nftables: Nftables, of: Example['chain']): Promise<void> {
  const where = { family: of?.family ?? family, table: 't' } as const
  const transaction = nftables
    .transaction()
    .add('table', { family: where.family, name: 't' })
    .add('chain', { ...where, name: 'other' })
    .add('chain', { hook: 'input', ...of, ...where, name: 'c' })
    .add('set', { ...where, name: 'seen', keyType: 7, keyLength: 4, flags: ['timeout', 'dynamic'], id: 1 })
    .add('object', { ...where, name: 'c', type: 'counter', data: {} })
    .add('set', {
      ...where,
      name: 'counters',
      keyType: 19,
      keyLength: 4,
      objectType: 'counter',
      flags: ['object'],
      id: 2,
    })
  await transaction.commit()
  // Beside it, for a kernel may lack them.
  await lacks(
    nftables
      .transaction()
      .add('flowtable', { ...where, name: 'f', devices: ['lo'] })
      .commit(),
  )
}

/** Modules that a kernel may lack: where it does, this is what it says. Those of the lab have them all. */
const mayLack = new Set([
  'queue',
  'flow_offload',
  'inner',
  'last',
  'match',
  'target',
  'tunnel',
  'xfrm',
  'secmark',
])

t.test('every expression is taken, and told as it was sent', async (t) => {
  t.same(Object.keys(examples).sort(), Object.keys(expressionTables).sort())
  const lacking: string[] = []
  for (const [name, { chain, expressions }] of Object.entries<Example>(examples)) {
    const { nftables } = await place(t)
    await ground(nftables, chain)
    const where = { family: chain?.family ?? family, table: 't' } as const
    const rule = nftables.transaction().add('rule', { ...where, chain: 'c', expressions })
    if (mayLack.has(name) && (await lacks(rule.commit()))) {
      lacking.push(name)
      continue
    }
    if (!mayLack.has(name)) await rule.commit()
    const [read] = await nftables.rules({ ...where })
    t.match(read!.expressions, expressions, name)
    nftables.close()
  }
  t.comment(`this kernel lacks: ${lacking.join(', ') || 'none'}`)
  if (isLab) t.same(lacking, (await isHere('nftables-inner')) ? [] : ['inner'])
  uses('nftables', 'nftables-xtables')
})

t.test('every type of object is taken, and told as it was sent', async (t) => {
  const { nftables } = await place(t)
  await nftables
    .transaction()
    .add('table', { family, name: 't' })
    .add('table', { family: 'netdev', name: 't' })
    .commit()
  const objects: { readonly [T in keyof typeof objectTables]: (ObjectInput & { readonly type: T })['data'] } =
    {
      counter: { packets: 5n, bytes: 500n },
      quota: { bytes: 1000n, consumed: 10n, flags: ['inverted'] },
      'ct-helper': { helper: 'ftp', family: 'ip', protocol: 'tcp' },
      limit: { rate: 10n, unitSeconds: 60, burst: 5, type: 'bytes', flags: ['inverted'] },
      connlimit: { count: 9, flags: ['inverted'] },
      tunnel: {
        id: 7,
        ip: { source: '10.0.0.1', destination: '10.0.0.2' },
        tos: 8,
        ttl: 64,
        sourcePort: 4000,
        destinationPort: 4789,
        flags: ['zero-checksum', 'dont-fragment'],
        options: { vxlan: { gbp: 3 } },
      },
      // CTA_TIMEOUT_UDP_UNREPLIED and _REPLIED, in seconds.
      'ct-timeout': {
        family: 'ip',
        protocol: 'udp',
        timeouts: Uint8Array.of(8, 0, 1, 0, 0, 0, 0, 12, 8, 0, 2, 0, 0, 0, 0, 99),
      },
      // As AppArmor has it, which the lab's kernels have.
      secmark: { context: 'unconfined' },
      'ct-expectation': { family: 'ip', protocol: 'tcp', port: 21, timeoutMilliseconds: 5000, size: 3 },
      synproxy: { maximumSegmentSize: 1460, windowScale: 7, flags: ['mss', 'wscale'] },
    }
  const lacking: string[] = []
  for (const [type, data] of Object.entries(objects)) {
    // Tunnels are of this family alone (nft_tunnel_obj_type).
    const where = type === 'tunnel' ? ({ family: 'netdev', table: 't' } as const) : inTable
    const object = { ...where, name: `the-${type}`, type, data, comment: type } as ObjectInput
    const made = nftables.transaction().create('object', object).commit()
    if (mayLack.has(type) && (await lacks(made))) lacking.push(type)
    else {
      await made
      const [read] = (await nftables.objects(where)).filter((one) => one.type === type)
      t.match(read, object, type)
    }
  }
  t.comment(`this kernel lacks: ${lacking.join(', ') || 'none'}`)
  if (isLab) t.same(lacking, [])
})

t.test('a tunnel has as many options of geneve as it was given', async (t) => {
  const { nftables } = await place(t)
  const where = { family: 'netdev', table: 't' } as const
  const options = {
    geneve: [
      { class: 0x102, type: 1, data: Uint8Array.of(1, 2, 3, 4) },
      { class: 0x102, type: 2, data: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8) },
      { class: 0x103, type: 1, data: Uint8Array.of(9, 9, 9, 9) },
    ],
  }
  const ip = { source: '10.0.0.1', destination: '10.0.0.2' }
  const tunnel = { ...where, name: 'g', type: 'tunnel', data: { id: 7, ip, options } } as const
  await nftables.transaction().add('table', { family: 'netdev', name: 't' }).commit()
  if (await lacks(nftables.transaction().create('object', tunnel).commit())) {
    return t.pass('this kernel has no tunnels')
  }
  t.match(await nftables.objects(where), [tunnel])
})

t.test('sets of every kind are taken, and told as they were sent', async (t) => {
  const { nftables } = await place(t)
  await nftables
    .transaction()
    .add('table', { family, name: 't' })
    .add('chain', { ...inTable, name: 'c' })
    .add('object', { ...inTable, name: 'o', type: 'quota', data: { bytes: 7n } })
    .commit()
  const ip = { keyType: 7, keyLength: 4 } as const
  const key = (last: number): Uint8Array => Uint8Array.of(10, 0, 0, last)
  const sets: Readonly<Record<string, readonly [Partial<SetInput>, readonly ElementInput[]]>> = {
    plain: [
      { ...ip, size: 100, policy: 'memory', comment: 'a set' },
      [{ key: key(1), comment: 'an element' }],
    ],
    interval: [{ ...ip, flags: ['interval'] }, [{ key: key(1) }, { key: key(9), flags: ['interval-end'] }]],
    concatenated: [
      { keyType: 7, keyLength: 8, flags: ['interval', 'concatenation'], fields: [4, 2] },
      [
        {
          key: Uint8Array.of(...key(1), 0, 80, 0, 0),
          keyEnd: Uint8Array.of(...key(9), 0, 90, 0, 0),
        },
      ],
    ],
    timed: [
      { ...ip, flags: ['timeout'], timeoutMilliseconds: 3_600_000, gcIntervalMilliseconds: 5000 },
      [{ key: key(1) }, { key: key(2), timeoutMilliseconds: 7_200_000 }],
    ],
    dynamic: [
      { ...ip, flags: ['dynamic'], size: 10, expression: { name: 'counter' } },
      [{ key: key(1), expression: { name: 'counter', packets: 3n, bytes: 300n } }],
    ],
    several: [
      {
        ...ip,
        flags: ['dynamic', 'expressions'],
        size: 10,
        expressions: [
          { name: 'counter' },
          { name: 'limit', rate: 7n, unitSeconds: 60, burst: 5, type: 'packets' },
        ],
      },
      [],
    ],
    constant: [{ ...ip, flags: ['constant'] }, []],
    verdicts: [
      { ...ip, flags: ['map'], dataType: 0xffffff00, dataLength: 16 },
      [
        { key: key(1), data: { code: 'goto', chain: 'c' } },
        { key: key(2), data: { code: 'drop' } },
      ],
    ],
    data: [
      { ...ip, flags: ['map'], dataType: 7, dataLength: 4 },
      [
        { key: key(1), data: key(2) },
        { flags: ['catch-all'], data: key(3) },
      ],
    ],
    objects: [{ ...ip, flags: ['object'], objectType: 'quota' }, [{ key: key(1), object: 'o' }]],
  }
  for (const [index, [name, [set, elements]]] of Object.entries(sets).entries()) {
    const input = { ...inTable, name, id: index + 1, ...set } as SetInput
    await nftables
      .transaction()
      .create('set', input)
      .add('elements', { ...inTable, set: name, elements })
      .commit()
    const read = (await nftables.sets({ ...inTable })).find((one) => one.name === name)
    const { id: _, ...told } = input
    t.match(read, told, name)
    const found = await nftables.elements({ ...inTable, name })
    t.equal(found.elements.length, elements.length)
    for (const element of elements) {
      const same = found.elements.find(
        ({ key = address, flags = [] }) =>
          Buffer.compare(key, element.key ?? address) === 0 && String(flags) === String(element.flags ?? []),
      )
      t.match(same, element, `${name}: an element`)
    }
    if (elements.length > 0 && name !== 'concatenated') {
      const asked = await nftables.elements({ ...inTable, name, elements: [elements[0]!] })
      t.match(asked.elements, [elements[0]], `${name}: by its key`)
    }
  }
  await t.rejects(nftables.elements({ ...inTable, name: 'objects', elements: [{ key: key(77) }] }), {
    code: 'ENOENT',
    attribute: { path: 'elements[0]' },
  })
})

t.test('what counted is told once, and counts from zero', async (t) => {
  const { nftables } = await place(t)
  const counted = { name: 'counter', packets: 3n, bytes: 300n } as const
  const key = (last: number): Uint8Array => Uint8Array.of(10, 0, 0, last)
  await nftables
    .transaction()
    .add('table', { family, name: 't' })
    .add('chain', { ...inTable, name: 'c' })
    .add('chain', { ...inTable, name: 'd' })
    .add('rule', { ...inTable, chain: 'c', expressions: [counted] })
    .add('rule', { ...inTable, chain: 'd', expressions: [counted] })
    .add('object', { ...inTable, name: 'a', type: 'counter', data: { packets: 1n, bytes: 10n } })
    .add('object', { ...inTable, name: 'b', type: 'counter', data: { packets: 2n, bytes: 20n } })
    .add('object', { ...inTable, name: 'q', type: 'quota', data: { bytes: 100n, consumed: 7n } })
    .add('set', { ...inTable, name: 's', keyType: 7, keyLength: 4, id: 1, expression: { name: 'counter' } })
    .add('elements', {
      ...inTable,
      set: 's',
      elements: [
        { key: key(1), expression: counted },
        { key: key(2), expression: counted },
      ],
    })
    .commit()
  const data = (list: readonly { readonly name: string; readonly data?: unknown }[]): unknown =>
    Object.fromEntries(list.map(({ name, data }) => [name, data]))
  t.match(data(await nftables.resetObjects({ ...inTable, name: 'a' })), { a: { packets: 1n, bytes: 10n } })
  t.match(data(await nftables.resetObjects({ type: 'counter' })), { a: { packets: 0n }, b: { packets: 2n } })
  t.match(data(await nftables.resetObjects()), { a: { packets: 0n }, q: { consumed: 7n } })
  t.match(data(await nftables.objects()), { b: { packets: 0n }, q: { consumed: 0n } })

  await since(t, 'nftables-reset-rules', '6.2', () => resetRules(t, nftables))
  await since(t, 'nftables-reset-elements', '6.5', () => resetElements(t, nftables))
})

async function resetRules(t: Test, nftables: Nftables): Promise<void> {
  const told = async (work: Promise<readonly { readonly expressions?: readonly unknown[] | undefined }[]>) =>
    (await work).map(({ expressions }) => (expressions![0] as { readonly packets: bigint }).packets)
  t.same(await told(nftables.resetRules({ ...inTable, chain: 'c' })), [3n])
  t.same(await told(nftables.rules()), [0n, 3n])
  const [, second] = await nftables.rules()
  t.same(await told(nftables.resetRules({ ...inTable, handle: second!.handle })), [3n])
  t.same(await told(nftables.resetRules()), [0n, 0n])
}

async function resetElements(t: Test, nftables: Nftables): Promise<void> {
  const key = (last: number): Uint8Array => Uint8Array.of(10, 0, 0, last)
  const set = { ...inTable, name: 's' }
  const packets = (one: { readonly expression?: unknown }): bigint =>
    (one.expression as { readonly packets: bigint }).packets
  t.same((await nftables.resetElements({ ...set, elements: [{ key: key(1) }] })).elements.map(packets), [3n])
  t.same((await nftables.resetElements(set)).elements.map(packets).sort(), [0n, 3n])
  t.same((await nftables.elements(set)).elements.map(packets), [0n, 0n])
  await t.rejects(nftables.resetElements({ ...set, elements: [{ key: Uint8Array.of(1) }] }), {
    code: 'EINVAL',
  })
}

t.test('chains and sets of a transaction are referred to before they have a handle', async (t) => {
  const { nftables } = await place(t)
  await nftables
    .transaction()
    .add('table', { family, name: 't' })
    .add('chain', { ...inTable, name: 'base', hook: 'input' })
    .add('chain', { ...inTable, name: 'later', id: 1 })
    .add('chain', { ...inTable, id: 2, flags: ['binding'] } as unknown as ChainInput)
    .add('set', {
      ...inTable,
      name: '__set%d',
      id: 3,
      keyType: 7,
      keyLength: 4,
      flags: ['anonymous', 'constant'],
    })
    .add('elements', { ...inTable, set: '__set%d', setId: 3, elements: [{ key: address }] })
    .add('rule', { ...inTable, chainId: 2, expressions: [{ name: 'counter' }] })
    .add('rule', {
      ...inTable,
      chain: 'base',
      expressions: [
        saddr,
        { name: 'lookup', set: '__set%d', setId: 3, sourceRegister: 1 },
        { name: 'immediate', destinationRegister: 0, data: { code: 'jump', chainId: 2 } },
      ],
    })
    .add('rule', {
      ...inTable,
      chain: 'base',
      expressions: [{ name: 'immediate', destinationRegister: 0, data: { code: 'goto', chainId: 1 } }],
    })
    .commit()
  const rules = await nftables.rules({ ...inTable, chain: 'base' })
  const bound = (await nftables.chains()).find(({ flags }) => flags?.includes('binding'))!
  t.match(rules[0]!.expressions, [{}, { name: 'lookup' }, { data: { code: 'jump', chain: bound.name } }])
  t.match(rules[1]!.expressions, [{ data: { code: 'goto', chain: 'later' } }])
  await nftables
    .transaction()
    .delete('rule', { ...inTable, chain: 'base', handle: rules[0]!.handle })
    .commit()
  t.same(
    (await nftables.chains()).map(({ name }) => name),
    ['base', 'later'],
    'what was bound goes with its rule',
  )
  t.same(await nftables.sets(), [])
})

t.test('base chains of devices, by their names and by what these begin with', async (t) => {
  const { nftables } = await place(t)
  const where = { family: 'netdev', table: 't' } as const
  await nftables
    .transaction()
    .add('table', { family: 'netdev', name: 't' })
    .add('chain', { ...where, name: 'in', hook: 'ingress', device: 'lo', priority: 5, policy: 'drop' })
    .add('chain', {
      ...where,
      name: 'out',
      hook: 'egress',
      devices: ['lo'],
      counters: { packets: 7n, bytes: 8n },
    })
    .commit()
  t.match(await nftables.chains(), [
    { name: 'in', hook: 'ingress', priority: 5, devices: ['lo'], policy: 'drop', type: 'filter' },
    { name: 'out', hook: 'egress', priority: 0, devices: ['lo'], policy: 'accept' },
  ])
  uses('nftables-egress')
  await since(t, 'nftables-device-prefix', '6.17', async () => {
    await nftables
      .transaction()
      .add('chain', { ...where, name: 'any', hook: 'ingress', devices: ['eth*'] })
      .commit()
    t.match((await nftables.chains()).at(-1), { name: 'any', devices: ['eth*'] })
  })
})

t.test('a flowtable of a device is taken, and told as it was sent', async (t) => {
  const { nftables } = await place(t)
  const flowtable = { ...inTable, name: 'f', priority: 5, devices: ['lo'], flags: ['counter'] } as const
  await nftables.transaction().add('table', { family, name: 't' }).commit()
  const isLacking = await lacks(nftables.transaction().create('flowtable', flowtable).commit())
  if (isLacking && !isLab) t.pass('this kernel has no flowtables')
  else t.match(await nftables.flowtables(), [{ ...flowtable, hook: 'ingress' }])
  if (!isLacking) uses('nftables-flowtable')
})
