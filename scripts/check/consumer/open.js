// Opens a netlink socket with the addon of the tarball.
import assert from 'node:assert/strict'
import { openSocket } from 'viaduct/netlink'

const socket = openSocket({ protocol: 0 })
socket.close()
const addons = process.report.getReport().sharedObjects.filter((file) => file.endsWith('.node'))
assert.equal(addons.length, 1)
