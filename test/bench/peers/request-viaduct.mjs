// The addon's own figure: the socket without decoding, as for the others. `asynchronous` uses the worker thread.
import { openSocket } from '../../../dist/src/netlink/index.js'
import { acknowledgementBytes, measure, request } from './measure.mjs'

const socket = openSocket({ protocol: 0 })
await measure(() => {
  if (process.argv[2] === 'asynchronous') return socket.exchange(request, request.length, 'batch', 5000)
  const { bytes } = socket.exchangeSync(request, request.length, 'batch', 5000)
  if (bytes.length < acknowledgementBytes) throw new Error('no acknowledgement')
})
socket.close()
