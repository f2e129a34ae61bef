/** What a kernel without the ability to end sockets answers, and how many are told. */
import t from 'tap'
import { type FakeAnswer, FakeKernel, type FakeRequest } from '../../src/testing/index.js'
import { Writer } from '../../src/netlink/index.js'
import { Sockdiag } from '../../src/sockdiag/index.js'
import { message, reply, request as requestStructure } from '../../src/sockdiag/wire.js'

const socket = {
  family: 'ipv4',
  protocol: 'tcp',
  localAddress: '10.0.0.1',
  localPort: 1,
  remoteAddress: '10.0.0.2',
  remotePort: 2,
} as const

function told(localPort: number): { type: number; payload: Uint8Array } {
  const writer = new Writer()
  const { family, localAddress, remoteAddress, remotePort } = socket
  const cookie = BigInt(localPort)
  reply.write(
    writer,
    { family, localAddress, remoteAddress, remotePort, localPort, cookie, state: 'established' },
    {},
  )
  return { type: message.byFamily, payload: writer.bytes.slice(0, writer.length) }
}

async function open(destroy: (request: FakeRequest) => FakeAnswer) {
  const kernel = new FakeKernel({
    handle: (request) => {
      if (request.type === message.destroy) return destroy(request)
      const isIPv4 = request.payload[0] === 2
      return isIPv4 ? [told(1), told(2), told(2), told(3)] : []
    },
  })
  return { kernel, sockdiag: await Sockdiag.open({ transport: kernel }) }
}

t.test('a kernel that cannot end sockets is told as such', async (t) => {
  const { sockdiag } = await open(() => ({ code: 'EOPNOTSUPP' }))
  await t.rejects(sockdiag.destroy(socket), { code: 'ERR_VIADUCT_UNSUPPORTED', needs: /INET_DIAG_DESTROY/ })
  await t.rejects(sockdiag.destroyMatching({ protocol: 'tcp' }), { code: 'ERR_VIADUCT_UNSUPPORTED' })
})

t.test('what ended meanwhile is no failure, what cannot be ended is told, each once', async (t) => {
  const portOf = ({ payload }: FakeRequest): number => (payload[8]! << 8) | payload[9]!
  const { sockdiag, kernel } = await open((request) =>
    portOf(request) === 1 ? { code: 'ENOENT' } : undefined,
  )
  t.equal(await sockdiag.destroyMatching({ protocol: 'tcp' }), 2)
  t.equal(kernel.requests.filter(({ type }) => type === message.destroy).length, 3)
  const refusing = await open((request) => (portOf(request) === 2 ? { code: 'EPERM' } : undefined))
  await t.rejects(refusing.sockdiag.destroyMatching({ protocol: 'tcp' }), {
    code: 'ERR_VIADUCT_BATCH',
    applied: 2,
    failures: [{ object: { localPort: 2 }, error: { code: 'EPERM', hint: /CAP_NET_ADMIN/ } }],
  })
})

t.test('without a cookie any socket of these addresses is meant', async (t) => {
  const { sockdiag, kernel } = await open(() => undefined)
  await sockdiag.destroy(socket)
  const payload = kernel.requests.at(-1)!.payload
  t.equal(payload.length, requestStructure.bytes)
  t.same(
    [...payload.subarray(48, 56)],
    Array.from({ length: 8 }, () => 255),
  )
})
