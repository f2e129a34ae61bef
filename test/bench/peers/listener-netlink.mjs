// A listener that throws. With a handler of uncaughtException a Node program goes on.
import { createNetlink } from 'netlink'

process.on('uncaughtException', () => {
  console.log('an uncaughtException, and the program goes on')
  process.exit()
})
const socket = createNetlink(0, { ref: true })
socket.on('message', () => {
  throw new Error('thrown by a listener')
})
socket.send(1, new Uint8Array(0), { flags: 5 })
