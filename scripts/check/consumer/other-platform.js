// Other platforms, emulated: importing works, and the first open says what is missing. Where Linux runs on another
// processor, that is the command that builds the addon; elsewhere it could not be built, and none is named.
import assert from 'node:assert/strict'

const emulate = (name, value) => Object.defineProperty(process, name, { value })
emulate('platform', 'darwin')
emulate('arch', 'riscv64')
for (const name of process.argv.slice(2)) await import(name)
const { openSocket } = await import('viaduct/netlink')
const { isUnsupportedError } = await import('viaduct')
const open = () => openSocket({ protocol: 0 })

const command = 'node node_modules/viaduct/scripts/build-addon.mjs'
assert.throws(open, (error) => isUnsupportedError(error) && /\bLinux\b.*cannot be built/.test(error.message))
assert.throws(open, (error) => !error.message.includes(command), 'it would fail there')
emulate('platform', 'linux')
assert.throws(open, (error) => isUnsupportedError(error) && error.message.includes(command))
