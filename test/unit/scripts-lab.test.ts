import t from 'tap'

interface Features {
  readonly kernels: readonly string[]
  readonly features: Readonly<Record<string, { about: string; on: Readonly<Record<string, string>> }>>
}
type Parsed = { kernel: string; command: readonly string[] } | string
const scripts = new URL('../../../scripts/lab/', import.meta.url)
const { checkFeatures, checkCoverage, scheduleOf } = (await import(
  new URL('features.mjs', scripts).href
)) as {
  checkFeatures: (table: Features, kernels?: readonly string[]) => string[]
  checkCoverage: (table: Features, kernel: string, used: Iterable<string>) => string[]
  scheduleOf: (table: Features, kernel: string) => Record<string, string[]>
}
const { disagreements } = (await import(new URL('probe.mjs', scripts).href)) as {
  disagreements: (
    table: Features,
    kernel: string,
    found: { has: Set<string>; reasons: Map<string, string> },
  ) => string[]
}
const { parseArguments } = (await import(new URL('cli.mjs', scripts).href)) as {
  parseArguments: (args: readonly string[]) => Parsed
}
const { quote } = (await import(new URL('initramfs.mjs', scripts).href)) as {
  quote: (text: string) => string
}

const table: Features = {
  kernels: ['old', 'new'],
  features: {
    both: { about: '', on: { old: 'tests', new: 'tests' } },
    late: { about: '', on: { old: 'lacks', new: 'tests' } },
    idle: { about: '', on: { old: 'tests', new: 'has' } },
  },
}

t.test('a feature that no kernel of the run tests is told', (t) => {
  t.same(checkFeatures(table), [])
  t.same(checkFeatures(table, ['old']), ['late: scheduled on none of old'])
  t.same(checkFeatures(table, ['new']), ['idle: scheduled on none of new'])
  t.match(checkFeatures(table, ['other'])[0], /no column for the kernel other/)
  t.end()
})

t.test('a cell that is missing or unknown is told', (t) => {
  const broken = {
    kernels: ['old', 'new'],
    features: { x: { about: '', on: { old: 'tests', new: 'test' } } },
  }
  t.match(checkFeatures(broken), [/^x: tests, has or lacks must stand under new, not test$/])
  t.end()
})

t.test('what a kernel lacks is not scheduled there', (t) => {
  t.same(scheduleOf(table, 'old'), { scheduled: ['both', 'idle'], notScheduled: ['late'], lacks: ['late'] })
  t.same(scheduleOf(table, 'new'), { scheduled: ['both', 'late'], notScheduled: ['idle'], lacks: [] })
  t.end()
})

t.test('a scheduled feature that no test used is told, and one that the table does not know', (t) => {
  t.same(checkCoverage(table, 'new', ['both', 'late']), [])
  t.match(checkCoverage(table, 'new', ['both', 'typo']), [/^late: .* no test there used it$/, /^typo: /])
  t.end()
})

t.test('table and kernel are compared in both directions', (t) => {
  const found = { has: new Set(['both', 'late']), reasons: new Map([['idle', 'no such thing']]) }
  t.same(disagreements(table, 'old', found), [
    'late: the table says that old lacks it, but it is there',
    'idle: missing on old (no such thing)',
  ])
  t.end()
})

t.test('the arguments of npm run lab', (t) => {
  t.same(parseArguments(['ls', '--uml']), { kernel: 'newest', command: ['ls', '--uml'] })
  t.same(parseArguments(['--kernel', '6.1', 'ls']), { kernel: '6.1', command: ['ls'] })
  t.same(parseArguments(['--kernel=6.12', '--', '--odd']), { kernel: '6.12', command: ['--odd'] })
  t.same(parseArguments(['--uml', 'ls']), { kernel: 'uml', command: ['ls'] })
  t.match(parseArguments(['--kernel', '5.4', 'ls']), /takes 6\.1, 6\.12 or newest, not 5\.4/)
  t.match(parseArguments(['--kernal', 'ls']), /unknown option --kernal/)
  t.match(parseArguments(['--uml']), /COMMAND is missing/)
  t.end()
})

t.test('words reach the guest as they are', (t) => {
  t.equal(quote(`it's $HOME`), `'it'\\''s $HOME'`)
  t.end()
})
