// Imports every subpath given. No addon may be loaded by that: editors and bundlers do it on any platform.
import assert from 'node:assert/strict'

for (const name of process.argv.slice(2)) {
  const module = await import(name)
  assert.notEqual(Object.keys(module).length, 0, `${name} exports nothing`)
  // Messages and inspected objects tell the name of a class, and a bundler may have given it another one.
  for (const [exported, value] of Object.entries(module)) {
    if (/^class\b/.test(String(value))) assert.equal(value.name, exported)
  }
}
const addons = process.report.getReport().sharedObjects.filter((file) => file.endsWith('.node'))
assert.deepEqual(addons, [], 'importing loaded the addon')
