/** docs/examples/netlink-transport.ts: another package's socket below everything else. */
import t from 'tap'
import { netlinkTransport } from '../../docs/examples/netlink-transport.js'
import { GenericFamily } from '../../src/genetlink/index.js'
import { Connection, NETLINK_GENERIC } from '../../src/netlink/index.js'

void t.test('requests, errors and many at once over the npm package netlink', async (t) => {
  const connection = new Connection(netlinkTransport(NETLINK_GENERIC))
  t.teardown(() => connection.close())
  const control = await GenericFamily.open(connection, 'nlctrl', 1)
  t.equal(control.id, 0x10)
  t.equal(control.multicastGroup('notify'), 0x10)
  const names = await Promise.all(
    Array.from({ length: 20 }, async () => (await GenericFamily.open(connection, 'nlctrl', 1)).name),
  )
  t.same(names, Array<string>(20).fill('nlctrl'))
  await t.rejects(GenericFamily.open(connection, 'nosuchfamily', 1), {
    code: 'ENOENT',
    operation: 'genetlink.getFamily',
  })
})

void t.test('a whole table over the npm package netlink', async (t) => {
  const connection = new Connection(netlinkTransport(NETLINK_GENERIC))
  t.teardown(() => connection.close())
  const families = await connection.dump(
    {
      operation: 'genetlink.families',
      write(writer, flags, sequence) {
        const start = writer.beginMessage(0x10, flags, sequence)
        writer.append(Uint8Array.of(3, 1, 0, 0))
        writer.endMessage(start)
      },
    },
    (_bytes, _view, offset, end) => end - offset,
  )
  t.ok(families.length > 1, `${families.length} families`)
})
