/** A minute of requests while a node goes through everything: none fails. `VIADUCT_SEED` repeats a run. */
import t from 'tap'
import { underLoad } from '../kernel/support/under-load.js'

void t.test('no request fails', { timeout: 600_000 }, (t) => underLoad(t, 60_000))
