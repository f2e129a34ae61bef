/** `viaduct run` killed a hundred times, at any moment. `VIADUCT_SEED` repeats a run. */
import t from 'tap'
import { killedAtAnyMoment } from '../kernel/support/killed-agent.js'

void t.test('it goes on with what was written last', { timeout: 1_800_000 }, (t) => killedAtAnyMoment(t, 100))
