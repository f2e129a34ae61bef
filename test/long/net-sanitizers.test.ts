import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import t from 'tap'

t.test('the addon is clean under sanitizers, with millions of rounds, and in valgrind', async (t) => {
  const script = fileURLToPath(new URL('../../../test/native/run-sanitizers.mjs', import.meta.url))
  const { status, stdout, stderr } = spawnSync(process.execPath, [script], { encoding: 'utf8' })
  t.equal(status, 0, stdout + stderr)
  t.match(stdout, /nothing found\n$/)
})
