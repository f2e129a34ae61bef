// A listener that throws. With a handler of uncaughtException a Node program goes on. Needs root: the event that the
// listener gets is `lo` going up in a namespace of its own.
import { NetworkNamespace } from '../../../dist/src/net/index.js'
import { openSocket } from '../../../dist/src/netlink/index.js'

process.on('uncaughtException', () => {
  console.log('an uncaughtException, and the program goes on')
  process.exit()
})
const namespace = NetworkNamespace.create()
const socket = openSocket({ protocol: 0, netns: namespace })
const RTNLGRP_LINK = 1
socket.subscribe(RTNLGRP_LINK, () => {
  throw new Error('thrown by a listener')
})
// struct nlmsghdr (RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK) and struct ifinfomsg (index 1, IFF_UP).
const request = new DataView(new ArrayBuffer(32))
request.setUint32(0, 32, true)
request.setUint16(4, 16, true)
request.setUint16(6, 5, true)
request.setInt32(20, 1, true)
request.setUint32(24, 1, true)
request.setUint32(28, 1, true)
socket.exchangeSync(new Uint8Array(request.buffer), 32, 'batch', 5000)
setTimeout(() => console.log('told nobody'), 2000)
