import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import t from 'tap'

t.test('the addon is clean under AddressSanitizer and UndefinedBehaviorSanitizer', async (t) => {
  const script = fileURLToPath(new URL('../../../test/native/run-sanitizers.mjs', import.meta.url))
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, '--short'], { encoding: 'utf8' })
  t.equal(status, 0, stdout + stderr)
  t.match(stdout, /nothing found\n$/)
})
