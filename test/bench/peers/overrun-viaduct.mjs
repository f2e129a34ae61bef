// 5,000 requests in one send, whose acknowledgements do not fit into a small receive buffer.
import { openSocket } from '../../../dist/src/netlink/index.js'
import { request } from './measure.mjs'

const socket = openSocket({ protocol: 0, receiveBufferBytes: 4096 })
const batch = new Uint8Array(request.length * 5000)
for (let at = 0; at < batch.length; at += request.length) batch.set(request, at)
const { lost } = await socket.exchange(batch, batch.length, 'batch', 5000)
console.log(lost ? 'told the caller that replies were lost' : 'lost nothing')
socket.close()
