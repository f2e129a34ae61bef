import t from 'tap'

interface Tally {
  passed: number
  failed: number
  skipped: number
  told: string[]
}
interface Counter {
  write(text: string): void
  end(): Tally
}
const script = new URL('../../../scripts/test/count.mjs', import.meta.url)
const { countTests } = (await import(script.href)) as {
  countTests: (
    name: string,
    options?: { onTest?: (name: string, tally: Tally) => void; filtered?: boolean },
  ) => Counter
}

function count(tap: string, options?: { filtered: boolean }) {
  const counter = countTests('file', options)
  counter.write(tap)
  return counter.end()
}

const numbers = ({ passed, failed, skipped }: Tally) => ({ passed, failed, skipped })

t.test('named subtests are counted, not assertions and not what holds subtests', async (t) => {
  const tap = `TAP version 14
# Subtest: outer
    # Subtest: one
        ok 1 - a
        ok 2 - b
        1..2
    ok 1 - one
    # Subtest: two
        ok 1 - a
        1..1
    ok 2 - two
    ok 3 - beside them
    1..3
ok 1 - outer
# Subtest: three
    ok 1 - a
    1..1
ok 2 - three
1..2
`
  t.strictSame(numbers(count(tap)), { passed: 3, failed: 0, skipped: 0 })
})

t.test('a failed test is told with its path, place and difference', async (t) => {
  const tap = `TAP version 14
# Subtest: outer
    # Subtest: inner
        not ok 1 - should be equal
          ---
          diff: |
            -2
            +1
          at:
            fileName: a.test.ts
            lineNumber: 5
          ...
        1..1
    not ok 1 - inner
    1..1
not ok 1 - outer
1..1
`
  const tally = count(tap)
  t.strictSame(numbers(tally), { passed: 0, failed: 1, skipped: 0 })
  t.match(
    tally.told.join('\n'),
    /failed: file > outer > inner\n.*should be equal \(a\.test\.ts:5\)\n\s+-2\n\s+\+1/,
  )
})

t.test('assertions without subtests are one test', async (t) => {
  t.strictSame(numbers(count('TAP version 14\nok 1 - a\nok 2 - b\n1..2\n')), {
    passed: 1,
    failed: 0,
    skipped: 0,
  })
})

t.test('skips and todos are counted apart', async (t) => {
  const tap = `TAP version 14
ok 1 - a # SKIP needs ipvs
# Subtest: b
    ok 1 - no ipvs # SKIP
    1..1
ok 2 - b
not ok 3 - c # TODO later
# Subtest: d
    ok 1
    1..1
ok 4 - d
1..4
`
  t.strictSame(numbers(count(tap)), { passed: 1, failed: 0, skipped: 3 })
})

const broken = {
  'a test that asserts nothing': 'TAP version 14\n# Subtest: a\n    1..0\nok 1 - a\n1..1\n',
  'a file without tests': 'TAP version 14\n1..0\n',
  'no output at all': '',
  'an end in the middle of a test': 'TAP version 14\n# Subtest: a\n    ok 1 - x\n',
  'an end after a test': 'TAP version 14\nok 1 - x\n',
  'a plan that is not kept': 'TAP version 14\nok 1 - x\n1..2\n',
  'a bail-out': 'TAP version 14\nok 1 - x\nBail out! no kernel\n',
  'a failed line of a test whose assertions passed':
    'TAP version 14\n# Subtest: a\n    ok 1\n    1..1\nnot ok 1 - a\n1..1\n',
}
for (const [name, tap] of Object.entries(broken)) {
  t.test(`${name} has failed`, async (t) => {
    const tally = count(tap)
    t.strictSame(numbers(tally), { passed: 0, failed: 1, skipped: 0 })
    t.match(tally.told[0], /^failed: file/)
  })
}

t.test('failures beside subtests count', async (t) => {
  const tap = `TAP version 14
# Subtest: a
    ok 1
    1..1
ok 1 - a
not ok 2 - timeout!
1..2
`
  t.strictSame(numbers(count(tap)), { passed: 1, failed: 1, skipped: 0 })
})

t.test('a file in which no test was chosen by name is no failure', async (t) => {
  t.strictSame(numbers(count('TAP version 14\n1..0\n', { filtered: true })), {
    passed: 0,
    failed: 0,
    skipped: 0,
  })
})

t.test('each outermost test is told as it ends, and not once more at the end', async (t) => {
  const told: string[] = []
  const counter = countTests('file', { onTest: (name, tally) => told.push(name, ...tally.told) })
  counter.write(`TAP version 14
# Subtest: a
    # Subtest: inner
        not ok 1 - x
        1..1
    not ok 1 - inner
    1..1
not ok 1 - a # time=5.5ms
not ok 2 - b
`)
  t.strictSame(told, ['a', 'failed: a > inner', '  x'])
  counter.write('1..2\n')
  const end = counter.end()
  t.strictSame(numbers(end), { passed: 0, failed: 2, skipped: 0 })
  t.strictSame(end.told, ['failed: file', '  b'])
})
