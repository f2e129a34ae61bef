import { createNetlink } from 'netlink'
import { measure } from './measure.mjs'

const socket = createNetlink(0)
await measure(() => socket.request(1, new Uint8Array(0)))
