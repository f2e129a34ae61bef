// Acknowledgements that do not fit into the receive buffer: the kernel drops them and reports ENOBUFS.
import { createNetlink } from 'netlink'

const socket = createNetlink(0, { ref: true })
socket.on('error', (error) => {
  console.log(`told the listener: ${error.code}`)
  process.exit()
})
for (let count = 0; count < 5000; count++) socket.send(1, new Uint8Array(0), { flags: 5 })
setTimeout(() => {
  console.log('told nobody')
  process.exit()
}, 2000)
