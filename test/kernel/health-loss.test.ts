/** Servers die under load: who fails, how long, and what there is afterwards. */
import t, { type Test } from 'tap'
import type { HealthRules } from '../../src/health/index.js'
import { until } from '../lab/support/until.js'
import { grace, Healing, Load } from './support/healing.js'

const checks = {
  intervalMilliseconds: 200,
  timeoutMilliseconds: 250,
  fall: 2,
  rise: 2,
  damping: false,
  backoff: false,
} as const

/** A service with these servers, checked by TCP. Others are there, too. */
async function network(
  t: Test,
  names: readonly string[],
  rules: HealthRules | ((healing: Healing) => HealthRules),
  others: readonly string[] = [],
): Promise<Healing> {
  const healing: Healing = await Healing.open(t, {
    names: [...names, ...others],
    checksOf: (netns) => () => ({
      check: { kind: 'tcp', netns },
      rules: typeof rules === 'function' ? rules(healing) : rules,
    }),
  })
  await healing.serveAll(names)
  return healing
}

t.test('three of ten hosts vanish at once: nobody fails after the bound, and they come back', async (t) => {
  const names = Array.from({ length: 10 }, (_, index) => `s${index}`)
  const healing = await network(t, names, { ...checks, onFailure: 'end-connections' })
  const bound = checks.fall * (checks.intervalMilliseconds + checks.timeoutMilliseconds) + 50
  const load = new Load(healing, [...Array<number>(4).fill(1), ...Array<number>(16).fill(Infinity)])
  await until('all are asked', () => new Set(load.requests.map(({ by }) => by)).size === names.length)
  const lost = await until('three have kept connections', () => {
    const kept = load.requests.filter(({ kind }) => kind === 'kept').map(({ by }) => by!)
    return new Set(kept).size >= 3 && [...new Set(kept)].slice(0, 3)
  })
  t.same(load.failed, [], 'nobody fails before')
  await Promise.all(lost.map((name) => healing.vanish(name)))
  const died = performance.now()
  for (const name of lost) await healing.isOut(name)
  const late = died + bound + grace
  await until('the bound is over', () => performance.now() > late)
  t.same(
    await load.heard(late, 20),
    names.filter((name) => !lost.includes(name)),
  )
  const { failed } = load
  const kept = failed.filter(({ kind }) => kind === 'kept')
  t.ok(kept.length > 0 && failed.length > kept.length, `${failed.length} failed, ${kept.length} of them kept`)
  const latest = Math.max(...kept.map(({ ended }) => ended - died))
  t.ok(latest <= bound + grace, `the last kept one ended ${latest.toFixed(0)} ms after the loss, of ${bound}`)
  const began = Math.max(...failed.map((one) => one.began - died))
  t.ok(began <= bound + grace, `the last that failed began ${began.toFixed(0)} ms after it`)
  await Promise.all(lost.map((name) => healing.comeBack(name)))
  const back = performance.now()
  await until('all are asked again', () =>
    lost.every((name) => load.since(back).some(({ by }) => by === name)),
  )
  await load.heard(performance.now())
  await load.stop()
  t.equal(load.failed.length, failed.length, 'nobody fails afterwards')
})

t.test('with what is usual nobody is sent to a dead server for 3 s', async (t) => {
  const healing = await network(t, ['a', 'b', 'c', 'd', 'e'], {})
  const load = new Load(healing, Array<number>(6).fill(1))
  await until('all are asked', () => new Set(load.requests.map(({ by }) => by)).size === 5)
  t.same(load.failed, [], 'nobody fails before')
  healing.kill('b')
  await healing.vanish('c')
  const died = performance.now()
  await healing.isOut('b')
  await healing.isOut('c')
  const out = performance.now()
  t.same(await load.heard(out, 10), ['a', 'd', 'e'])
  await load.stop()
  t.ok(load.failed.length > 0, `${load.failed.length} failed`)
  const began = Math.max(...load.failed.map((one) => one.began - died))
  t.ok(began < 3000, `the last was sent there ${began.toFixed(0)} ms after its death`)
})

t.test('a sorry server takes over below the quorum, and gives back above it', async (t) => {
  const healing = await network(
    t,
    ['a', 'b', 'c'],
    (healing) => ({
      ...checks,
      intervalMilliseconds: 100,
      mostOut: 1,
      quorum: 2,
      hysteresis: 1,
      sorryServer: { ...healing.server('sorry'), weight: 1 },
    }),
    ['sorry'],
  )
  const { monitor, reconciler } = healing
  const [key] = monitor.keys()
  const load = new Load(healing, Array<number>(4).fill(1))
  /** Who answers, when all that is known of servers is in the kernel. */
  const answers = async (up: number, isQuorate: boolean): Promise<string[]> => {
    await until(`${up} are up`, () => {
      const { servers, isQuorate: is } = monitor.health(key!)!
      return is === isQuorate && servers.filter(({ verdict }) => verdict === 'up').length === up
    })
    await reconciler.settled()
    return await load.heard(performance.now())
  }
  await until('all are asked', () => new Set(load.requests.map(({ by }) => by)).size === 3)
  healing.kill('a')
  healing.kill('b')
  t.same(await answers(1, true), ['c'], 'one of three is enough: 2 - 1')
  healing.kill('c')
  t.same(await answers(0, false), ['sorry'])
  const failures = load.failed.length
  t.ok(failures > 0)
  const kept = await healing.connect()
  await healing.serve('a')
  await healing.serve('b')
  t.same(await answers(2, false), ['sorry'], 'two are not: 2 + 1')
  await healing.serve('c')
  const names = await answers(3, true)
  t.ok(!names.includes('sorry') && !names.includes('nobody'), `it gives back to ${names.join(', ')}`)
  t.equal(await kept.ask(), 'sorry', 'and keeps what it has')
  await load.stop()
  t.equal(load.failed.length, failures, 'nobody fails while somebody is there')
})
