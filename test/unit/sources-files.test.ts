/** Objects in files: read, watched, kept while a file is broken. */
import { execFileSync } from 'node:child_process'
import { appendFile, chmod, mkdir, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import path from 'node:path'
import t from 'tap'
import { FileSource } from '../../src/sources/index.js'
import { Follower, folderFor, inotifyWatches, listed, openFiles, service, told } from './support/sources.js'

const quick = { quietMilliseconds: 5 }

type Teardown = Parameters<typeof folderFor>[0] & Parameters<typeof Follower.start>[1]

async function watched(t: Teardown): Promise<{ folder: string; source: FileSource; follower: Follower }> {
  const folder = await folderFor(t)
  const source = new FileSource(folder, quick)
  return { folder, source, follower: await Follower.start(source, t) }
}

t.test('the manifests of the tutorial are read with one note', async (t) => {
  const source = new FileSource('docs/examples/tutorial')
  const { objects, problems } = await source.list()
  t.equal(objects.length, 6)
  t.same(await listed(source), [
    'Pod default/web-1',
    'Pod default/web-2',
    'Service default/web',
    'Service default/web-node-port',
    'Service default/web-public',
    'Service default/web-sticky',
  ])
  t.same(told(problems), [
    'note docs/examples/tutorial/deployment.yaml:4:1 kind Deployment of apps/v1 is none of ours: skipped',
  ])
})

t.test('files come, change, are renamed over and go', async (t) => {
  const { folder, follower } = await watched(t)
  const file = path.join(folder, 'a.yaml')
  await writeFile(file, service('a', '1'))
  await follower.until('Service default/a 1')
  await writeFile(file, service('a', '2') + '---\n' + service('b'))
  await follower.until('Service default/a 2', 'Service default/b')
  // As editors and atomic writers do it.
  await writeFile(path.join(folder, '.a.yaml.swp'), service('x'))
  await writeFile(path.join(folder, '.new.yaml'), service('a', '3'))
  await rename(path.join(folder, '.new.yaml'), file)
  await follower.until('Service default/a 3')
  await rename(file, path.join(folder, 'b.json'))
  await writeFile(path.join(folder, 'c.txt'), service('x'))
  await writeFile(path.join(folder, 'd.yml'), service('d'))
  await follower.until('Service default/a 3', 'Service default/d')
  await rm(path.join(folder, 'b.json'))
  await follower.until('Service default/d')
  t.same([...follower.problems.values()].flat(), [])
})

t.test('a file that is written in pieces, with nothing lost in between', async (t) => {
  const { folder, follower } = await watched(t)
  const file = path.join(folder, 'a.yaml')
  await writeFile(file, service('a') + '---\n' + service('b'))
  await follower.until('Service default/a', 'Service default/b')
  const half = service('a', '2') + '---\napiVersion: v1\nkind: Service\nmeta'
  await writeFile(file, half)
  const problems = await follower.untilProblem(file, true)
  t.same(told(problems, folder).slice(0, 1), [
    'error a.yaml:8:1 Implicit map keys need to be followed by map values',
  ])
  t.same([...follower.objects.values()].sort(), ['Service default/a 2', 'Service default/b'])
  await appendFile(file, 'data: { name: b, annotations: { mark: "2" } }\n')
  await follower.until('Service default/a 2', 'Service default/b 2')
  await follower.untilProblem(file, false)
})

t.test('what a broken file held stays, and is told where it is broken', async (t) => {
  const { folder, source, follower } = await watched(t)
  const file = path.join(folder, 'a.yaml')
  await writeFile(file, service('a') + '---\n' + service('b'))
  await follower.until('Service default/a', 'Service default/b')
  // Under another name first: where the file is away for a moment, so is what it held.
  const made = path.join(folder, '.made')
  const broken: [() => Promise<void>, string][] = [
    [
      () => writeFile(file, 'apiVersion: v1\nkind: Service\nmetadata:\n  name: [a]\n'),
      'error a.yaml:4:3 metadata.name expected a name, got a list',
    ],
    [() => writeFile(file, new Uint8Array([0xff])), 'error a.yaml is not in UTF-8'],
    [() => truncate(file, 5 * 1024 * 1024), 'error a.yaml is longer than 4194304 bytes'],
    [
      () => symlink('nowhere', made).then(() => rename(made, file)),
      'error a.yaml is a symbolic link that leads to nothing',
    ],
    [() => symlink('a.yaml', made).then(() => rename(made, file)), 'error a.yaml cannot be read: ELOOP'],
    [
      () => {
        execFileSync('mkfifo', [made])
        return rename(made, file)
      },
      'error a.yaml is no regular file',
    ],
  ]
  for (const [work, expected] of broken) {
    await work()
    for (let said = ''; said !== expected;) {
      await follower.next()
      said = told(follower.problems.get(file) ?? [], folder).join('\n')
    }
    t.same(await listed(source), ['Service default/a', 'Service default/b'], expected)
  }
  await rm(file)
  await follower.until()
  t.same((await source.list()).problems, [])
})

t.test('of two files with the same object the first counts, and the other is told', async (t) => {
  const { folder, source, follower } = await watched(t)
  await writeFile(path.join(folder, 'b.yaml'), service('a', 'b'))
  await follower.until('Service default/a b')
  await writeFile(path.join(folder, 'a.yaml'), '# first\n' + service('a', 'a'))
  await follower.until('Service default/a a')
  const { problems } = await source.list()
  const first = path.join(folder, 'a.yaml')
  t.same(told(problems, folder), [`error b.yaml:1:1 Service default/a is there already: ${first}, line 2`])
  await rm(first)
  await follower.until('Service default/a b')
  t.same((await source.list()).problems, [])
})

t.test('a ConfigMap: every file at once, by a link that is swapped', async (t) => {
  const { folder, follower } = await watched(t)
  const put = async (version: string): Promise<void> => {
    await mkdir(path.join(folder, `..${version}`))
    for (const name of ['a', 'b']) {
      await writeFile(path.join(folder, `..${version}`, `${name}.yaml`), service(name, version))
    }
    await symlink(`..${version}`, path.join(folder, '..data_tmp'))
    await rename(path.join(folder, '..data_tmp'), path.join(folder, '..data'))
  }
  await put('1')
  for (const name of ['a.yaml', 'b.yaml']) await symlink(`..data/${name}`, path.join(folder, name))
  await follower.until('Service default/a 1', 'Service default/b 1')
  await put('2')
  await rm(path.join(folder, '..1'), { recursive: true })
  await follower.until('Service default/a 2', 'Service default/b 2')
  // One of its files by itself.
  const one = await Follower.start(new FileSource(path.join(folder, 'b.yaml'), quick), t)
  t.same([...one.objects.values()], ['Service default/b 2'])
  await put('3')
  await one.until('Service default/b 3')
  await writeFile(path.join(folder, '..3', 'b.yaml'), service('b', '4'))
  await one.until('Service default/b 4')
  await follower.until('Service default/a 3', 'Service default/b 4')
})

t.test('a folder that comes later, goes, comes again, and lies behind a link', async (t) => {
  const home = await folderFor(t)
  const folder = path.join(home, 'current', 'deep', 'services')
  const source = new FileSource(folder, quick)
  t.same(told((await source.list()).problems, home), [
    'error current/deep/services there is no such file or folder',
  ])
  const follower = await Follower.start(source, t)
  const release = async (name: string): Promise<void> => {
    await mkdir(path.join(home, name, 'deep', 'services'), { recursive: true })
    await writeFile(path.join(home, name, 'deep', 'services', 'a.yaml'), service('a', name))
  }
  await release('current')
  await follower.until('Service default/a current')
  await rm(path.join(home, 'current'), { recursive: true })
  await follower.until()
  await release('one')
  await symlink('one', path.join(home, 'current'))
  await follower.until('Service default/a one')
  await release('two')
  await symlink('two', path.join(home, 'next'))
  await rename(path.join(home, 'next'), path.join(home, 'current'))
  await follower.until('Service default/a two')
  // A folder on the way, in place of another.
  await rename(path.join(home, 'two', 'deep'), path.join(home, 'two', 'old'))
  await follower.until()
  await rename(path.join(home, 'one', 'deep'), path.join(home, 'two', 'deep'))
  await follower.until('Service default/a one')
})

t.test('folders in the folder, where they are asked for', async (t) => {
  const folder = await folderFor(t)
  await mkdir(path.join(folder, 'sub'))
  await writeFile(path.join(folder, 'a.yaml'), service('a'))
  await writeFile(path.join(folder, 'sub', 'b.yaml'), service('b'))
  t.same(await listed(new FileSource(folder)), ['Service default/a'])
  const follower = await Follower.start(new FileSource(folder, { ...quick, recursive: true }), t)
  t.same([...follower.objects.values()], ['Service default/a', 'Service default/b'])
  await mkdir(path.join(folder, 'sub', 'more'))
  await writeFile(path.join(folder, 'sub', 'more', 'c.yaml'), service('c'))
  await follower.until('Service default/a', 'Service default/b', 'Service default/c')
  await symlink('.', path.join(folder, 'sub', 'circle'))
  await rm(path.join(folder, 'sub', 'more'), { recursive: true })
  await follower.until('Service default/a', 'Service default/b')
})

t.test('what changed while nobody watched is told to who watches from before', async (t) => {
  const folder = await folderFor(t)
  const source = new FileSource(folder, { namespace: 'lab' })
  await writeFile(path.join(folder, 'a.yaml'), service('a'))
  const { revision } = await source.list()
  await writeFile(path.join(folder, 'a.yaml'), service('b'))
  const events = source.watch(revision, { signal: AbortSignal.timeout(10_000) })
  t.match((await events.next()).value, { event: 'deleted', reference: { namespace: 'lab', name: 'a' } })
  t.match((await events.next()).value, {
    event: 'upserted',
    object: { metadata: { namespace: 'lab', name: 'b' } },
  })
  await events.return?.()
})

t.test('two watchers are told the same, and the last one to leave closes everything', async (t) => {
  const folder = await folderFor(t)
  const before = inotifyWatches()
  const source = new FileSource(folder, quick)
  const [one, other] = [await Follower.start(source, t), await Follower.start(source, t)]
  const [first, second] = [one.until('Service default/a'), other.until('Service default/a')]
  await writeFile(path.join(folder, 'a.yaml'), service('a'))
  await Promise.all([first, second])
  t.ok(inotifyWatches() > before)
  const waiting = one.next()
  one.stop()
  await t.rejects(waiting, { message: 'stopped' })
  await writeFile(path.join(folder, 'b.yaml'), service('b'))
  await other.until('Service default/a', 'Service default/b')
  const last = other.next()
  other.stop()
  await t.rejects(last, { message: 'stopped' })
  t.equal(inotifyWatches(), before)
  t.same(await openFiles(folder), [])
  // The one that comes after finds everything again.
  const later = await Follower.start(source, t)
  await writeFile(path.join(folder, 'a.yaml'), service('a', '2'))
  await later.until('Service default/a 2', 'Service default/b')
})

t.test('an abort closes everything, even if nobody asks for another event', async (t) => {
  const before = inotifyWatches()
  const { folder, follower } = await watched(t)
  await writeFile(path.join(folder, 'a.yaml'), service('a'))
  await follower.until('Service default/a')
  t.ok(inotifyWatches() > before)
  follower.stop()
  t.equal(inotifyWatches(), before)
  t.same(await openFiles(folder), [])
})

t.test('an abort while it is still reading leaves nothing open', async (t) => {
  const folder = await folderFor(t)
  const before = inotifyWatches()
  for (let at = 0; at < 50; at++) await writeFile(path.join(folder, `${at}.yaml`), service(`a${at}`))
  const source = new FileSource(folder)
  const end = new AbortController()
  const events = source.watch('0', { signal: end.signal })
  const waiting = events.next()
  end.abort(new Error('stopped'))
  await t.rejects(waiting, { message: 'stopped' })
  t.equal((await source.list()).objects.length, 50)
  t.equal(inotifyWatches(), before)
  t.same(await openFiles(folder), [])
})

t.test('where an object stands, and what is in it', async (t) => {
  const folder = await folderFor(t)
  const file = path.join(folder, 'a.yaml')
  const list = [
    '# two',
    'apiVersion: v1',
    'kind: List',
    'items:',
    '- apiVersion: v1',
    '  kind: Service',
    '  metadata:',
    '    name: a',
    '  spec:',
    '    ports:',
    '    - port: 80',
    '    - port: 0',
    '',
  ]
  await writeFile(file, service('b') + '---\n' + list.join('\n'))
  const source = new FileSource(file)
  await source.list()
  const reference = { kind: 'Service', namespace: 'default', name: 'a' } as const
  const at = (where?: string): Promise<unknown> => source.locate(reference, where)
  t.same(await at(), { place: file, line: 10, column: 3 })
  t.same(await at('spec.ports[1].port'), { place: file, line: 17, column: 7 })
  t.same(await at('spec.ports[1].nodePort'), { place: file, line: 17, column: 7 })
  t.same(await at('spec.selector.app'), { place: file, line: 14, column: 3 })
  t.equal(await source.locate({ ...reference, name: 'c' }), undefined)
})

t.test('options that cannot be meant', async (t) => {
  for (const options of [{ quietMilliseconds: -1 }, { fileBytes: NaN }, { documents: 1.5 }, { history: 0 }]) {
    t.throws(() => new FileSource('.', options), { name: 'ValidationError' })
  }
  await Promise.resolve()
})

t.test('a thousand files', async (t) => {
  const folder = await folderFor(t)
  for (let at = 0; at < 1000; at++) await writeFile(path.join(folder, `${at}.yaml`), service(`a${at}`))
  const source = new FileSource(folder, quick)
  const start = performance.now()
  const { objects } = await source.list()
  const first = performance.now()
  t.equal(objects.length, 1000)
  await source.list()
  const again = performance.now()
  const follower = await Follower.start(source, t)
  const changed = performance.now()
  await writeFile(path.join(folder, '500.yaml'), service('a500', 'x'))
  while (
    !follower.objects.has('["Service","default","a500"]') ||
    ![...follower.objects.values()].includes('Service default/a500 x')
  )
    await follower.next()
  const seen = performance.now()
  t.comment(
    `read in ${(first - start).toFixed(0)} ms, looked through again in ${(again - first).toFixed(0)} ms, a change seen after ${(seen - changed).toFixed(0)} ms`,
  )
})

t.test('a folder that must not be read keeps what it held', async (t) => {
  const folder = await folderFor(t)
  const inside = path.join(folder, 'sub')
  await mkdir(inside)
  await writeFile(path.join(inside, 'a.yaml'), service('a'))
  const source = new FileSource(folder, { recursive: true })
  t.same(await listed(source), ['Service default/a'])
  await chmod(inside, 0o000)
  t.teardown(() => chmod(inside, 0o700))
  t.same(await listed(source), ['Service default/a'])
})
