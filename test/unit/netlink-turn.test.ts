import t from 'tap'
import { Connection } from '../../src/netlink/index.js'
import { Turn } from '../../src/netlink/turn.js'
import { FakeKernel } from '../../src/testing/index.js'

function wait(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds)
}

void t.test('exchanges that take long soon spend a turn, and the next one is fresh', async (t) => {
  const turn = new Turn()
  let exchanges = 0
  let next: Promise<void> | undefined
  while ((next = turn.spent) === undefined && exchanges < 1000) {
    exchanges++
    wait(2)
  }
  // The clock is read after 1, 3 and 7 of them, which is 14 ms.
  t.ok(exchanges >= 1 && exchanges <= 7, `${exchanges}`)
  t.ok(turn.spent, 'until it is over')
  await next
  t.equal(turn.spent, undefined)
})

void t.test('what other turns took does not count', async (t) => {
  const turn = new Turn()
  t.equal(turn.spent, undefined)
  await new Promise((resolve) => setImmediate(resolve))
  wait(10)
  t.equal(turn.spent, undefined)
})

void t.test('small batches awaited one after the other let the event loop turn', async (t) => {
  const connection = new Connection(new FakeKernel({ handle: () => undefined }))
  let turned = false
  setImmediate(() => (turned = true))
  const end = performance.now() + 5000
  while (!turned && performance.now() < end) {
    const { applied } = await connection.batch([1], {
      write(writer, flags, sequence) {
        writer.endMessage(writer.beginMessage(100, flags, sequence))
      },
      target: () => ({ operation: 'test' }),
    })
    t.equal(applied, 1)
  }
  t.ok(turned)
})
