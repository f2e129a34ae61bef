/** A lock as a leader. */
import t from 'tap'
import { type HeldLock, leaderFromLock } from '../../src/edge/index.js'

/** One that the test gives and takes. */
function fakeLock() {
  const events: string[] = []
  let give: ((held: HeldLock) => void) | undefined
  let lose: (() => void) | undefined
  return {
    events,
    isAsked: () => give !== undefined,
    give(): void {
      give?.({
        lost: new Promise<void>((resolve) => (lose = resolve)),
        release: async () => void events.push('released'),
      })
      give = undefined
    },
    lose: () => lose?.(),
    acquire({ signal }: { signal: AbortSignal }): Promise<HeldLock> {
      return new Promise((resolve, reject) => {
        give = resolve
        signal.addEventListener('abort', () => {
          give = undefined
          reject(signal.reason as Error)
        })
      })
    },
  }
}
const turn = () => new Promise((resolve) => setImmediate(resolve))

t.test('who has the lock is the leader', async (t) => {
  const lock = fakeLock()
  const leader = leaderFromLock(lock)
  leader.subscribe(async ({ event }) => {
    lock.events.push(event)
    await turn()
    lock.events.push(`${event}, done`)
  })
  await turn()
  t.notOk(leader.isLeader)
  lock.give()
  await turn()
  t.ok(leader.isLeader)
  await turn()
  lock.lose()
  await turn()
  t.notOk(leader.isLeader)
  await turn()
  await turn()
  t.ok(lock.isAsked(), 'it asks again')
  lock.give()
  await turn()
  await turn()
  await leader.resign()
  t.same(lock.events.slice(-3), ['lost', 'lost, done', 'released'], 'released when listeners have let go')
  t.notOk(lock.isAsked(), 'and stands aside')
  leader.compete()
  await turn()
  t.ok(lock.isAsked())
  await leader.close()
  t.notOk(lock.isAsked())
  leader.compete()
  await turn()
  t.notOk(lock.isAsked(), 'closed for good')
})

t.test('who subscribes late is told at once', async (t) => {
  const lock = fakeLock()
  const leader = leaderFromLock(lock)
  await turn()
  lock.give()
  await turn()
  const told: string[] = []
  const end = leader.subscribe(({ event }) => void told.push(event))
  t.same(told, ['acquired'])
  end()
  await leader.close()
  t.same(told, ['acquired'])
})
