/** Texts of manifests: what is read, what is refused and where, and that nothing hostile takes long or throws. */
import t from 'tap'
import fc from 'fast-check'
import { formatPath, parsePath, type Reading, readManifests } from '../../src/sources/manifest.js'
import { service, told } from './support/sources.js'

const options = { namespace: 'default', documents: 100 }
const read = (text: string): Promise<Reading> => readManifests(text, options)
async function problemsOf(text: string): Promise<string[]> {
  return told((await read(text)).problems.map((problem) => ({ place: '', ...problem })))
}
/** The annotations of a service that is written with these lines for them. */
async function valuesOf(...lines: string[]): Promise<unknown> {
  const indented = lines.map((line) => `    ${line}`)
  const { manifests, problems } = await read(
    ['apiVersion: v1', 'kind: Service', 'metadata:', '  name: a', '  annotations:', ...indented].join('\n'),
  )
  t.same(problems, [])
  const object = manifests[0]?.object
  return object !== undefined && 'kind' in object ? object.metadata?.annotations : undefined
}

t.test('documents, lists and the short form', async (t) => {
  const text = [
    '# nothing',
    '---',
    service('a'),
    '---',
    '---',
    'apiVersion: v1',
    'kind: List',
    'items:',
    '- { apiVersion: v1, kind: Node, metadata: { name: node-a } }',
    '- apiVersion: v1',
    '  kind: PodList',
    '  items: [{ metadata: { name: p, namespace: lab } }]',
    '---',
    '{"name": "short", "ports": [{"port": 80}], "servers": []}',
    '...',
    '---',
    'apiVersion: discovery.k8s.io/v1',
    'kind: EndpointSlice',
    'metadata: { name: s }',
  ].join('\n')
  const { manifests, problems } = await read(text)
  t.same(problems, [])
  t.same(
    manifests.map(({ reference, position, document, path }) => [
      reference,
      position.line,
      document,
      formatPath(path),
    ]),
    [
      [{ kind: 'Service', namespace: 'default', name: 'a' }, 3, 0, ''],
      [{ kind: 'Node', name: 'node-a' }, 13, 2, 'items[0]'],
      [{ kind: 'Pod', namespace: 'lab', name: 'p' }, 16, 2, 'items[1].items[0]'],
      [{ kind: 'Service', namespace: 'default', name: 'short' }, 18, 3, ''],
      [{ kind: 'EndpointSlice', namespace: 'default', name: 's' }, 21, 4, ''],
    ],
  )
  t.match(manifests[3]?.object, { name: 'short', namespace: 'default' })
  t.match(manifests[2]?.object, { kind: 'Pod', apiVersion: 'v1' })
})

t.test('what is wrong is told with its line, column and path', async (t) => {
  const cases: [string, string][] = [
    ['a: [1, 2', 'error :1:9 Flow sequence in block collection must be'],
    ['a: "1', 'error :1:6 Missing closing "quote'],
    [
      'apiVersion: v1\nkind: Service\n',
      'error :1:1 metadata expected an object with a name, and it is not there',
    ],
    [
      'apiVersion: v1\nkind: Service\nmetadata:\n',
      'error :3:1 metadata expected an object with a name, got null',
    ],
    [
      'apiVersion: v1\nkind: Service\nmetadata:\n  name: 7\n',
      'error :4:3 metadata.name expected a name, got 7',
    ],
    [
      'apiVersion: v1\nkind: Pod\nmetadata:\n  namespace: [a]\n  name: a',
      'error :4:3 metadata.namespace expected the name of a namespace, got a list',
    ],
    ['apiVersion: v1\nkind: List\nitems: 7', 'error :3:1 items expected a list, got 7'],
    ['apiVersion: v1\nkind: List\nitems:\n- 7', 'error :4:3 items[0] expected an object, got 7'],
    ['kind: Service\nmetadata: { name: a }', 'error :1:1 apiVersion expected v1, and it is not there'],
    [
      'apiVersion: v1\nmetadata: { name: a }',
      'error :1:1 kind expected the name of a kind, and it is not there',
    ],
    ['port: 80', 'error :1:1 name expected a name, and it is not there'],
    ['just words', 'error :1:1 expected an object, got "just words"'],
    ['a: 1\nb: 2\na: 3', 'error :3:1 a this key is there twice'],
    ['a: *b', 'error :1:4 a there is no anchor &b above'],
    ['a: &b\n  c: *b', 'error :2:6 a.c &b stands in itself'],
    ['a: !strange 1', 'error :1:4 Unresolved tag: !strange'],
    ['[a]: 1', 'error :1:1 a key is a string'],
    ['<<: 1', 'error :1:5 ["<<"] a merge key takes a map, or a list of maps'],
    [
      'apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: { name: a }',
      'note :2:1 kind Service of serving.knative.dev/v1 is none of ours: skipped',
    ],
  ]
  for (const [text, expected] of cases) {
    const [first = '', ...more] = await problemsOf(text)
    t.equal(first.slice(0, expected.length), expected, text)
    if (!expected.includes('Flow sequence')) t.same(more, [], text)
  }
})

t.test('a mistake in one document leaves the others', async (t) => {
  const { manifests, problems } = await read(
    [service('a'), 'a: [\n', service('b'), service('c')].join('---\n'),
  )
  t.same(
    manifests.map(({ reference }) => reference.name),
    ['a', 'b', 'c'],
  )
  t.equal(problems[0]?.line, 7)
})

t.test('values are those of kubectl: YAML 1.1, but for times', async (t) => {
  t.same(
    await valuesOf(
      'a: yes',
      'b: 0x10',
      'c: 010',
      'd: 1:30',
      'e: 2020-01-01',
      'f: "<<"',
      'g: ~',
      '80: x',
      'true: z',
    ),
    { a: true, b: 16, c: 8, d: '1:30', e: '2020-01-01', f: '<<', g: null, 80: 'x', true: 'z' },
  )
})

t.test('merge keys: what stands below overrides, of several maps the first wins', async (t) => {
  t.same(
    await valuesOf(
      'x: &x { a: 1, b: 1 }',
      'w: &w { b: 2, c: 2 }',
      'z:',
      '  <<: [*x, *w]',
      '  c: 3',
      '"<<": kept',
    ),
    { x: { a: 1, b: 1 }, w: { b: 2, c: 2 }, z: { a: 1, b: 1, c: 3 }, '<<': 'kept' },
  )
})

t.test('an anchor of the same name counts from where it stands', async (t) => {
  t.same(await valuesOf('a: &x 1', 'b: *x', 'c: &x 2', 'd: [*x, { <<: { e: *x } }]'), {
    a: 1,
    b: 1,
    c: 2,
    d: [2, { e: 2 }],
  })
})

t.test('the names of objects’ own properties are keys like any other', async (t) => {
  const found = (await valuesOf('__proto__: { polluted: 1 }', 'constructor: 1')) as object
  t.same(Object.keys(found), ['__proto__', 'constructor'])
  t.equal(Object.getPrototypeOf(found), Object.prototype)
})

t.test('what aliases make of a few lines is bounded', async (t) => {
  const laughs = [
    'a0: &a0 lol',
    ...Array.from({ length: 40 }, (_, at) => `a${at + 1}: &a${at + 1} [*a${at}, *a${at}]`),
  ]
  t.match(await problemsOf(laughs.join('\n')), [/more than 1000000 values/])
  const chain = [
    'a0: &a0 [1]',
    ...Array.from({ length: 5000 }, (_, at) => `a${at + 1}: &a${at + 1} [*a${at}]`),
  ]
  t.match(await problemsOf(chain.join('\n')), [/more than 100 collections within each other/])
  const merges = ['a0: &a0 { k: 1 }']
  for (let at = 1; at < 40; at++) merges.push(`a${at}: &a${at} { <<: [*a${at - 1}, *a${at - 1}] }`)
  t.match(await problemsOf(merges.join('\n')), [/more than 1000000 values/])
})

t.test('depth, documents and mistakes are bounded', async (t) => {
  for (const piece of ['[', '{', '{a: ', '- ', '? ', '- [a, {b: ']) {
    t.match(await problemsOf(piece.repeat(20_000)), [/more than 100 collections within each other/], piece)
  }
  t.match(await problemsOf('---\n'.repeat(102)), [/more than 100 documents/])
  const mistakes = await problemsOf(']'.repeat(20_000))
  t.equal(mistakes.length, 10)
  const wrong = await readManifests('---\na\n'.repeat(1000), { ...options, documents: 1000 })
  t.equal(wrong.problems.length, 101)
  t.match(wrong.problems[100], { severity: 'error', message: '900 more like these' })
})

t.test('no text throws, and what is read can be found again', async (t) => {
  const pieces = fc.constantFrom(
    ...[
      'a',
      'kind: Service',
      'apiVersion: v1',
      'metadata',
      'name: x',
      ':',
      ' ',
      '  ',
      '\n',
      '\n  ',
      '- ',
      '[',
      ']',
      '{',
      '}',
    ],
    ...[
      ',',
      '"',
      "'",
      '&a ',
      '*a',
      '<<: ',
      '|',
      '>',
      '#',
      '? ',
      '!',
      '!!str ',
      '%YAML 1.2\n',
      '%TAG ! x\n',
      '---\n',
      '...\n',
      '\t',
    ],
    ...['\0', '\u2028', '\ufeff', '\u0002', '@', '`', '~', '0x', '1e999', '__proto__', 'items:\n'],
  )
  await fc.assert(
    fc.asyncProperty(fc.array(pieces, { maxLength: 60 }), async (parts) => {
      const { problems } = await read(parts.join(''))
      for (const { line, path = '' } of problems) {
        if (line !== undefined && !(line >= 1)) throw new Error(`line ${line}`)
        if (formatPath(parsePath(path)) !== path) throw new Error(path)
      }
    }),
    { numRuns: 1500 },
  )
  t.pass()
})

t.test('paths go there and back', async (t) => {
  const step = fc.oneof(fc.nat(1000), fc.string({ minLength: 1 }))
  fc.assert(
    fc.property(fc.array(step), (path) => {
      t.same(parsePath(formatPath(path)), path)
    }),
  )
  t.same(parsePath('spec.ports[0].port'), ['spec', 'ports', 0, 'port'])
  t.same(parsePath('a..b'), ['a'])
  await Promise.resolve()
})
