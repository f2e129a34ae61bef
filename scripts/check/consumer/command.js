// The command of the package, as npx finds it: it runs, and it finds the addon.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

function viaduct(...args) {
  return spawnSync('node_modules/.bin/viaduct', args, { encoding: 'utf8' })
}
const { version } = JSON.parse(readFileSync('node_modules/viaduct/package.json', 'utf8'))
const told = viaduct('--version')
assert.equal(told.status, 0, told.stderr)
assert.ok(told.stdout.includes(version), told.stdout)

const doctor = viaduct('doctor')
assert.match(doctor.stdout, /linux/i, doctor.stderr)
assert.doesNotMatch(doctor.stdout + doctor.stderr, /addon/)
