import t from 'tap'
import { KernelError } from '../../src/errors/index.js'
import { type Change, type Command, UnresolvedName } from '../../src/cli/ipvsadm/command.js'
import { parse } from '../../src/cli/ipvsadm/parse.js'
import { restore } from '../../src/cli/ipvsadm/restore.js'

interface Run {
  readonly exitCode: number
  /** Batches of changes, and what was done between them. */
  readonly done: (number | string)[]
  readonly changes: Change[]
  readonly told: string
  readonly asked: string[]
}

/** Restores from these pieces; `fails` says which changes the kernel refuses. */
async function run(
  pieces: readonly (string | Uint8Array)[],
  fails: (change: Change) => string | undefined = () => undefined,
): Promise<Run> {
  const done: (number | string)[] = []
  const changes: Change[] = []
  const asked: string[] = []
  const known = new Map<string, string>()
  let told = ''
  const refuse = (code: string): KernelError =>
    new KernelError({ errno: { EEXIST: -17, ESRCH: -3, ENODEV: -19 }[code] ?? -1, operation: 'test' })
  async function* input(): AsyncGenerator<string | Uint8Array> {
    yield* pieces
  }
  const exitCode = await restore(input(), {
    parse: (words): Command =>
      parse(words, { host: (name) => known.get(name), servicePort: () => undefined }),
    find: async ({ host }: UnresolvedName) => {
      asked.push(host)
      known.set(host, '192.0.2.9')
    },
    apply: async (batch) => {
      const list = [...batch]
      changes.push(...list)
      done.push(list.length)
      const failures = list.flatMap((change, index) => {
        const code = fails(change)
        return code === undefined ? [] : [{ index, operation: 'test', object: change, error: refuse(code) }]
      })
      return { applied: list.length - failures.length, failures, notSent: 0 }
    },
    perform: async (command) => {
      done.push(command.command)
      if (command.command === 'start-daemon') throw refuse('ENODEV')
    },
    complain: async (text) => {
      told += text
    },
  })
  return { exitCode, done, changes, told, asked }
}

void t.test('changes go together as their lines come, whatever the pieces', async (t) => {
  const text =
    '-A -t 192.0.2.1:80\n\n  ipvsadm -a -t 192.0.2.1:80 -r 10.0.0.1 -m\r\n\t-a -t 192.0.2.1:80 -r 10.0.0.2 # the second\n# nothing\n-D -t 192.0.2.1:80'
  const batches = [
    [3, 1],
    [3, 1],
    [1, 1, 1, 1],
  ]
  const bytes = new TextEncoder().encode(text)
  for (const [index, pieces] of [
    [text],
    [bytes],
    Array.from(bytes, (byte) => Uint8Array.of(byte)),
  ].entries()) {
    const { exitCode, done, changes, told } = await run(pieces)
    t.equal(exitCode, 0)
    t.strictSame(done, batches[index], 'a last line may have no end, and comes last')
    t.strictSame(
      changes.map(({ command }) => command),
      ['add-service', 'add-server', 'add-server', 'delete-service'],
    )
    t.equal(told, '')
  }
})

void t.test('every bad line is told with its number, the others are applied', async (t) => {
  const { exitCode, done, told } = await run(
    [
      '-A -t 192.0.2.1:80\n',
      '-A -t 192.0.2.1\n',
      '-A -t 192.0.2.2:80\n',
      'nonsense\n',
      '-a -t 192.0.2.1:80 -r 10.0.0.1 -w many\n',
      '-R\n',
      '-D -t 192.0.2.3:80\n',
      '-A -6 -f 1\n',
    ],
    (change) =>
      change.command === 'delete-service'
        ? 'ESRCH'
        : change.command === 'add-service' &&
            'port' in change.service &&
            change.service.address === '192.0.2.2'
          ? 'EEXIST'
          : undefined,
  )
  t.strictSame(done, [1, 1, 1])
  t.equal(
    told,
    'line 2: Zero port specified for non-persistent service (-A -t 192.0.2.1)\n' +
      'line 3: Service already exists (-A -t 192.0.2.2:80)\n' +
      "line 4: Try `ipvsadm -h' or 'ipvsadm --help' for more information. (nonsense)\n" +
      'line 5: illegal weight specified (-a -t 192.0.2.1:80 -r 10.0.0.1 -w many)\n' +
      'line 6: -R cannot stand in what -R reads (-R)\n' +
      'line 7: No such service (-D -t 192.0.2.3:80)\n' +
      'line 8: -6 used before -f (-A -6 -f 1)\n',
  )
  t.equal(exitCode, 2, 'as the first of them')
})

void t.test('what is no change waits for the changes before it', async (t) => {
  const { exitCode, done, told } = await run([
    '-A -t 192.0.2.1:80\n-C\n-A -t 192.0.2.2:80\n--set 1 2 3\n--start-daemon master\n-Ln\n-A -t 192.0.2.3:80\n',
  ])
  t.strictSame(done, [1, 'flush', 1, 'set', 'start-daemon', 'list', 1])
  t.equal(told, 'line 5: No such device (--start-daemon master)\n')
  t.equal(exitCode, 255)
})

void t.test('a name is looked up once', async (t) => {
  const { exitCode, asked, changes } = await run(['-A -t web:80\n-a -t web:80 -r 10.0.0.1 -m\n'])
  t.equal(exitCode, 0)
  t.strictSame(asked, ['web'])
  t.match(changes, [{ service: { address: '192.0.2.9' } }, { service: { address: '192.0.2.9' } }])
})

void t.test('many lines go in several batches, and numbers count on', async (t) => {
  const lines = Array.from({ length: 20_000 }, (_, index) => `-D -f ${index + 1}\n`)
  const { done, told, exitCode } = await run(lines, (change) =>
    'firewallMark' in change.service && change.service.firewallMark === 19_999 ? 'ESRCH' : undefined,
  )
  t.ok(done.length > 1)
  t.equal(
    done.reduce<number>((sum, count) => sum + Number(count), 0),
    20_000,
  )
  t.equal(told, 'line 19999: No such service (-D -f 19999)\n')
  t.equal(exitCode, 255)
})

void t.test('a line is done while the input stays open', async (t) => {
  let applied = 0
  async function* input(): AsyncGenerator<string> {
    yield '-D -f 1\n'
    t.equal(applied, 1, 'before the next is asked for')
  }
  const exitCode = await restore(input(), {
    parse: (words): Command => parse(words, { host: () => undefined, servicePort: () => undefined }),
    find: () => Promise.resolve(),
    apply: (batch) => {
      applied += [...batch].length
      return Promise.resolve({ applied, failures: [], notSent: 0 })
    },
    perform: () => Promise.resolve(),
    complain: () => Promise.resolve(),
  })
  t.equal(exitCode, 0)
})
