import koffi from 'koffi'
import { acknowledgementBytes, measure, request } from './measure.mjs'

const libc = koffi.load('libc.so.6')
const socket = libc.func('int socket(int, int, int)')
const send = libc.func('long send(int, const uint8_t *, size_t, int)')
const receive = libc.func('long recv(int, _Out_ uint8_t *, size_t, int)')
const AF_NETLINK = 16
const SOCK_RAW = 3
const fd = socket(AF_NETLINK, SOCK_RAW, 0)
const reply = new Uint8Array(32768)
await measure(() => {
  send(fd, request, request.length, 0)
  if (receive(fd, reply, reply.length, 0) < acknowledgementBytes) throw new Error('no acknowledgement')
})
