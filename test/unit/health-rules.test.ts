/** The rules of health, without a clock: what is always so, whatever results come in whichever order. */
import fc from 'fast-check'
import t from 'tap'
import { decayed } from '../../src/health/damping.js'
import { between, outliers } from '../../src/health/ejection.js'
import { causeOf, countUp, hasQuorum, mostOut, place, serversOf } from '../../src/health/group.js'
import { type CheckResult, failed, notRun, passed } from '../../src/health/result.js'
import { type HealthRules, type Rules, rulesOf } from '../../src/health/rules.js'
import {
  advance,
  eject,
  initialState,
  nextChange,
  nextDelay,
  type ServerState,
  take,
  weightOf,
} from '../../src/health/state.js'

const seed = Number(process.env['VIADUCT_SEED'] ?? Date.now() % 0x7fff_ffff)
t.comment(`seed ${seed} (VIADUCT_SEED repeats it)`)
function always<T extends unknown[]>(property: fc.IProperty<T>): void {
  fc.assert(property, { seed, numRuns: 500 })
}

const refused = failed('refused', 'ECONNREFUSED')
const noRoute = notRun('no-route', 'ENETUNREACH')
const result: fc.Arbitrary<CheckResult> = fc.oneof(
  { weight: 5, arbitrary: fc.constant(passed) },
  { weight: 5, arbitrary: fc.constant(refused) },
  { weight: 1, arbitrary: fc.constant(noRoute) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(0, 0.5, 2).map((share) => ({ outcome: 'passed' as const, share })),
  },
)
const ruleInput: fc.Arbitrary<HealthRules> = fc.record({
  rise: fc.integer({ min: 1, max: 5 }),
  fall: fc.integer({ min: 1, max: 5 }),
  firstDecides: fc.boolean(),
  initial: fc.constantFrom('up', 'down'),
  mostOut: fc.constantFrom(0, 0.1, 0.29, 0.5, 0.75, 1),
  slowStartMilliseconds: fc.constantFrom(0, 1000, 10_000),
  damping: fc.oneof(
    fc.constant(false as const),
    fc.record({ mostMilliseconds: fc.constantFrom(10_000, 100_000) }),
  ),
  ejection: fc.constant({}),
  onFailure: fc.constantFrom('remove', 'weight-0'),
  jitter: fc.constantFrom(0, 0.1, 1),
})
/** What happens to a server, and how long after what was before. */
const step = fc.record({
  wait: fc.integer({ min: 0, max: 5000 }),
  does: fc.oneof({ weight: 10, arbitrary: result }, { weight: 1, arbitrary: fc.constant('eject' as const) }),
})
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

function perform(rules: Rules, state: ServerState, { does }: Step, now: number): ServerState {
  const advanced = advance(rules, state, now)
  return does === 'eject' ? eject(rules, advanced, now) : take(rules, advanced, does, now)
}

t.test('rise and fall are counted exactly, and what could not be run does not count', async (t) => {
  always(
    fc.property(ruleInput, fc.array(step, { maxLength: 60 }), (input, steps) => {
      const rules = rulesOf(input)
      let state = initialState(0)
      let now = 0
      // The same, said in another way: by looking back at all results.
      const told: boolean[] = []
      let verdict: ServerState['verdict'] = 'unknown'
      for (const one of steps) {
        now += one.wait
        state = perform(rules, state, one, now)
        if (one.does !== 'eject' && one.does.outcome !== 'not-run') {
          told.push(one.does.outcome === 'passed')
          const allOf = (count: number, value: boolean) =>
            told.length >= count && told.slice(-count).every((each) => each === value)
          const isFirst = rules.firstDecides && told.length === 1
          if (verdict !== 'up' && (allOf(rules.rise, true) || (isFirst && told[0]))) verdict = 'up'
          else if (verdict !== 'down' && (allOf(rules.fall, false) || (isFirst && told[0] === false)))
            verdict = 'down'
        }
        if (state.verdict !== verdict) return false
        if (state.passes > 0 && state.fails > 0) return false
        if (state.passes > rules.rise || state.fails > rules.fall) return false
      }
      return true
    }),
  )
  t.pass()
})

t.test('a result that changes nothing is the same state', async (t) => {
  const rules = rulesOf()
  let state = initialState(0)
  for (let count = 0; count < 3; count++) state = take(rules, state, passed, count)
  t.equal(take(rules, state, passed, 9), state)
  const blocked = take(rules, state, noRoute, 9)
  t.equal(blocked.verdict, 'up')
  t.equal(take(rules, blocked, noRoute, 10), blocked)
  t.equal(take(rules, blocked, passed, 11).blocked, undefined)
})

t.test('never more than the cap are out, and those that are well are never out', async (t) => {
  const servers = fc.array(fc.array(step, { maxLength: 15 }), { minLength: 1, maxLength: 12 })
  always(
    fc.property(ruleInput, servers, (input, histories) => {
      const rules = rulesOf(input)
      const members = histories.map((steps, index) => {
        let state = initialState(0)
        let now = 0
        for (const one of steps) state = perform(rules, state, one, (now += one.wait))
        return { server: { address: `10.0.0.${index}`, port: 80, weight: 1 + (index % 3) }, state }
      })
      const now = 80_000
      const current = members.map(({ server, state }) => ({ server, state: advance(rules, state, now) }))
      const placements = place(rules, current, now)
      const out = placements.filter(({ place }) => place === 'out').length
      if (out > Math.floor(rules.mostOut * members.length + 1e-9)) return false
      const wanting = current.filter(({ state }) => causeOf(rules, state) !== undefined).length
      // As many as want to and may.
      if (out !== Math.min(wanting, mostOut(rules, members.length))) return false
      const list = serversOf(rules, current, placements, true)
      const inUse = list.filter(({ weight }) => weight > 0).length
      if (inUse !== members.length - out) return false
      if (rules.onFailure === 'weight-0' ? list.length !== members.length : list.length !== inUse)
        return false
      return placements.every(({ place, weight, cause }, index) => {
        const isWell = causeOf(rules, current[index]!.state) === undefined
        if (isWell !== (place === 'in') || isWell !== (cause === undefined)) return false
        const most = current[index]!.server.weight * rules.weightScale * 2
        return place === 'out' ? weight === 0 : weight >= 1 && weight <= most
      })
    }),
  )
  t.pass()
})

t.test('lost is who is down and does not answer, where connections are to be ended', async (t) => {
  const silent = [failed('timed-out', 'ETIMEDOUT'), failed('unreachable', 'EHOSTUNREACH')]
  const reasons = [...silent, refused, failed('wrong-answer', 'status 503'), noRoute, passed]
  always(
    fc.property(fc.array(fc.constantFrom(...reasons), { minLength: 1 }), fc.boolean(), (results, isAsked) => {
      const rules = rulesOf({
        mostOut: 1,
        damping: false,
        onFailure: isAsked ? 'end-connections' : 'weight-0',
      })
      let state = initialState(0)
      let last: CheckResult = passed
      for (const one of results) {
        state = take(rules, state, one, 1)
        if (one.outcome !== 'not-run') last = one
      }
      const members = [{ server: { address: '10.0.0.1', port: 80, weight: 1 }, state }]
      const placements = place(rules, members, 1)
      const isLost = isAsked && state.verdict === 'down' && (silent as CheckResult[]).includes(last)
      const left = serversOf(rules, members, placements, true).length
      return placements[0]!.isLost === isLost && left === (isLost ? 0 : 1)
    }),
  )
  t.pass()
})

t.test('of those that fail the ones that failed first are out, however the list is ordered', async (t) => {
  const rules = rulesOf({ mostOut: 0.5, fall: 1 })
  const downAt = (now: number) => take(rules, initialState(0), refused, now)
  const members = [30, 10, 40, 20].map((at, index) => ({
    server: { address: `10.0.0.${index}`, port: 1, weight: 1 },
    state: downAt(at),
  }))
  t.same(
    place(rules, members, 50).map(({ place }) => place),
    ['kept', 'out', 'kept', 'out'],
  )
  t.same(
    place(rules, members.slice(0, 1), 50).map(({ place }) => place),
    ['kept'],
    'one alone stays',
  )
})

t.test('a quorum changes only beyond its hysteresis', async (t) => {
  always(
    fc.property(
      fc.integer({ min: 1, max: 10 }),
      fc.nat(9),
      fc.array(fc.nat(20), { maxLength: 50 }),
      (quorum, wish, counts) => {
        const hysteresis = Math.min(wish, quorum - 1)
        const rules = rulesOf({ quorum, hysteresis })
        let has = true
        for (const up of counts) {
          const next = hasQuorum(rules, up, has)
          if (has && !next && up >= quorum - hysteresis) return false
          if (!has && next && up < quorum + hysteresis) return false
          if (up < quorum - hysteresis && next) return false
          if (up >= quorum + hysteresis && !next) return false
          has = next
        }
        return true
      },
    ),
  )
  t.throws(
    () => rulesOf({ quorum: 2, hysteresis: 2 }),
    /^Error: hysteresis|hysteresis/,
    'one that would never be lost',
  )
})

t.test('the sorry server takes everything while the quorum is lost', async (t) => {
  const sorryServer = { address: '10.0.9.9', port: 80, weight: 1 }
  const state = take(rulesOf(), initialState(0), refused, 0)
  const members = [{ server: { address: '10.0.0.1', port: 80, weight: 1 }, state }]
  for (const onFailure of ['remove', 'weight-0'] as const) {
    const rules = rulesOf({ sorryServer, onFailure, mostOut: 1 })
    const placements = place(rules, members, 1)
    const isQuorate = hasQuorum(rules, countUp(rules, members), true)
    t.equal(isQuorate, false)
    const rest = onFailure === 'remove' ? [] : [{ address: '10.0.0.1', port: 80, weight: 0 }]
    t.same(serversOf(rules, members, placements, isQuorate), [sorryServer, ...rest])
  }
})

/** Seldom, and so often that the penalty reaches its ceiling. */
const waitsOfFlaps = fc
  .constantFrom(30, 300, 3000)
  .chain((max) => fc.array(fc.integer({ min: 0, max }), { maxLength: 120, size: 'max' }))

t.test('damping is bounded: nobody is kept out longer than said after the last time down', async (t) => {
  always(
    fc.property(waitsOfFlaps, (waits) => {
      const rules = rulesOf({
        rise: 1,
        fall: 1,
        damping: { mostMilliseconds: 20_000, halfLifeMilliseconds: 5000 },
      })
      let state = take(rules, initialState(0), passed, 0)
      let now = 0
      let lastDown = 0
      for (const [index, wait] of waits.entries()) {
        now += wait
        const before = state
        state = take(rules, advance(rules, state, now), index % 2 === 0 ? refused : passed, now)
        if (state.verdict === 'down' && before.verdict === 'up') lastDown = now
        const penalty = decayed(rules.damping!, state.penalty, now - state.penaltyAt)
        // Kept out from the one threshold on until the other is reached.
        if (
          state.dampedSince === undefined &&
          state.penaltyAt === now &&
          penalty >= rules.damping!.suppressAt
        )
          return false
        if (state.dampedSince !== undefined && penalty < rules.damping!.reuseAt - 1e-9) return false
      }
      const reuse = nextChange(rules, { ...state, slowSince: undefined }, now)
      if (state.dampedSince !== undefined && reuse > lastDown + 20_000 + 1e-6) return false
      return advance(rules, state, lastDown + 20_001).dampedSince === undefined
    }),
  )
  t.pass()
})

t.test('time alone does what nextChange says, and not before', async (t) => {
  always(
    fc.property(ruleInput, fc.array(step, { minLength: 1, maxLength: 40 }), (input, steps) => {
      const rules = rulesOf(input)
      let state = initialState(0)
      let now = 0
      for (const one of steps) state = perform(rules, state, one, (now += one.wait))
      // A finite number of changes, each one later than the one before, and then silence.
      for (let turn = 0; turn < 50; turn++) {
        const at = nextChange(rules, state, now)
        if (at === Infinity) return true
        if (!(at > now)) return false
        const halfway = now + (at - now) / 2
        const early = advance(rules, state, halfway)
        if (early.dampedSince !== state.dampedSince || early.ejectedUntil !== state.ejectedUntil) return false
        if (weightOf(rules, early, 7, halfway) !== weightOf(rules, state, 7, now)) return false
        now = at + 1e-6
        state = advance(rules, state, now)
      }
      return false
    }),
  )
  t.pass()
})

t.test('a slow start grows in steps, from a tenth to the whole', async (t) => {
  const rules = rulesOf({ rise: 1, fall: 1, slowStartMilliseconds: 1000, damping: false })
  let state = take(rules, initialState(0), passed, 0)
  t.equal(weightOf(rules, state, 1, 0), 10, 'one that was never out has its whole weight')
  state = take(rules, take(rules, state, refused, 1), passed, 100)
  const weights = Array.from({ length: 12 }, (_, index) => weightOf(rules, state, 1, 100 + index * 100))
  t.same(weights, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10])
})

t.test('checks come sooner while results disagree, and later while it stays down', async (t) => {
  const rules = rulesOf({ intervalMilliseconds: 1000, jitter: 0, damping: false })
  let state = take(rules, initialState(0), passed, 0)
  state = take(rules, state, passed, 0)
  t.equal(nextDelay(rules, state, 0.5), 1000)
  state = take(rules, state, refused, 0)
  t.equal(nextDelay(rules, state, 0.5), 100)
  const delays: number[] = []
  for (let count = 0; count < 8; count++) {
    state = take(rules, state, refused, 0)
    delays.push(nextDelay(rules, state, 0.5))
  }
  t.same(delays, [100, 1000, 2000, 4000, 8000, 10_000, 10_000, 10_000])
  t.equal(nextDelay(rules, take(rules, state, passed, 0), 0.5), 100)
  always(
    fc.property(
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (random, jitter) => {
        const delay = nextDelay(rulesOf({ jitter }), initialState(0), random)
        return delay >= 100 * (1 - jitter) - 1e-9 && delay <= 100 * (1 + jitter) + 1e-9
      },
    ),
  )
})

t.test('ejected are outliers alone, for longer each time', async (t) => {
  const rules = rulesOf({ ejection: { leastConnections: 10 } })
  const ejection = rules.ejection!
  const good = { connections: 100, failures: 1 }
  t.same(outliers(ejection, [good, good, { connections: 100, failures: 90 }]), [2])
  t.same(
    outliers(ejection, [
      { connections: 100, failures: 90 },
      { connections: 100, failures: 90 },
    ]),
    [],
    'all are alike',
  )
  t.same(outliers(ejection, [good, { connections: 5, failures: 5 }]), [], 'too few to tell')
  t.same(outliers(ejection, [{ connections: 100, failures: 100 }]), [], 'nobody to compare with')
  const sample = { address: '10.0.0.1', port: 1, connections: 10, failures: 2 }
  t.same(between(sample, { ...sample, connections: 30, failures: 40 }), { connections: 20, failures: 20 })
  t.equal(between(sample, { ...sample, connections: 3 }), undefined, 'counted anew')
  t.equal(between(sample, { ...sample, failures: NaN }), undefined)
  let state = take(rules, initialState(0), passed, 0)
  state = eject(rules, state, 0)
  t.equal(state.ejectedUntil, 30_000)
  state = eject(rules, advance(rules, state, 30_000), 30_000)
  t.equal(state.ejectedUntil, 90_000)
  t.equal(advance(rules, state, 89_999).ejectedUntil, 90_000)
  t.equal(advance(rules, state, 90_000).ejectedUntil, undefined)
})

t.test('what is no rule is refused, with its path', async (t) => {
  const bad: [HealthRules, RegExp][] = [
    [{ intervalMilliseconds: 0 }, /^intervalMilliseconds/],
    [{ timeoutMilliseconds: NaN }, /^timeoutMilliseconds/],
    [{ rise: 1.5 }, /^rise/],
    [{ mostOut: 2 }, /^mostOut/],
    [{ onFailure: 'explode' as 'remove' }, /^onFailure/],
    [{ damping: { suppressAt: 0.5 } }, /^damping\.suppressAt/],
    [{ sorryServer: { address: 'x', port: 1, weight: 1 } }, /^sorryServer\.address/],
  ]
  for (const [rules, message] of bad) t.throws(() => rulesOf(rules), { message })
})
