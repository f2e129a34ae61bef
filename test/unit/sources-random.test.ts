/** Whatever happened to a folder: a source that followed it knows what one knows that is new. */
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { FileSource } from '../../src/sources/index.js'
import { Follower, folderFor, listed, service, told } from './support/sources.js'

const names = ['a.yaml', 'b.yaml', 'sub/c.yaml', 'sub/d.json', '.hidden.yaml', 'e.txt']
const name = fc.constantFrom(...names)
const content = fc.oneof(
  fc
    .array(fc.constantFrom('x', 'y', 'z'), { maxLength: 3 })
    .map((found) => found.map((one) => service(one)).join('---\n')),
  fc.tuple(fc.constantFrom('x', 'y'), fc.nat(3)).map(([one, mark]) => service(one, String(mark))),
  fc.constantFrom('', 'a: [', 'kind: Service\napiVersion: v1\n', service('w') + '---\nmetadata'),
)
const operation = fc.oneof(
  fc.record({ does: fc.constant('write' as const), name, content }),
  fc.record({ does: fc.constant('replace' as const), name, content }),
  fc.record({ does: fc.constant('remove' as const), name }),
  fc.record({ does: fc.constant('rename' as const), name, to: name }),
  fc.record({ does: fc.constant('link' as const), name, to: name }),
  fc.record({ does: fc.constant('remove-folder' as const), name: fc.constantFrom('', 'sub') }),
  fc.record({ does: fc.constant('look' as const) }),
)
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never

/** What cannot be done now (nothing is there to rename) is nothing. */
async function perform(folder: string, todo: Operation, source: FileSource): Promise<void> {
  if (todo.does === 'look') {
    await source.list()
    return
  }
  const file = path.join(folder, todo.name)
  if (todo.does !== 'remove-folder') await mkdir(path.dirname(file), { recursive: true })
  const attempt = async (work: Promise<void>): Promise<void> => {
    await work.catch((error: unknown) => {
      if (!(error instanceof Error && 'code' in error)) throw error
    })
  }
  if (todo.does === 'write') await attempt(writeFile(file, todo.content))
  else if (todo.does === 'replace') {
    await writeFile(`${file}~`, todo.content)
    await rename(`${file}~`, file)
  } else if (todo.does === 'rename') await attempt(rename(file, path.join(folder, todo.to)))
  else if (todo.does === 'link') await attempt(symlink(path.join(folder, todo.to), file))
  else await rm(file, { recursive: true, force: true })
}

t.test('any sequence of operations ends in the state of a fresh source', { timeout: 120_000 }, async (t) => {
  const home = await folderFor(t)
  let run = 0
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { minLength: 1, maxLength: 12 }), async (operations) => {
      const folder = path.join(home, String(run++))
      const options = { recursive: true, quietMilliseconds: 1 }
      const source = new FileSource(folder, options)
      const ends: (() => void)[] = []
      const follower = await Follower.start(source, { teardown: (work) => ends.push(work) })
      try {
        // From here on it is watched.
        const first = follower.next()
        for (const todo of operations) await perform(folder, todo, source)
        // While something is wrong, a source knows more than a fresh one; the end is in order.
        for (let broken = ['']; broken.length > 0;) {
          const { problems } = await new FileSource(folder, options).list()
          broken = problems
            .filter(({ place, message }) => place !== folder && !message.includes('is there already'))
            .map(({ place }) => place)
          for (const place of broken) await rm(place, { force: true })
        }
        await mkdir(path.join(folder, 'sub'), { recursive: true })
        await writeFile(path.join(folder, 'sub', 'last.yaml'), service('last'))
        await first
        const wanted = await listed(new FileSource(folder, options))
        await follower.until(...wanted)
        const [mine, fresh] = [await source.list(), await new FileSource(folder, options).list()]
        t.same(await listed(source), wanted)
        t.same(told(mine.problems), told(fresh.problems))
      } finally {
        for (const end of ends) end()
      }
    }),
    { numRuns: 150 },
  )
})
