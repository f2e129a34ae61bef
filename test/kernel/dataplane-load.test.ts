/** Ten seconds of requests while a node goes through everything: none fails. */
import t from 'tap'
import { underLoad } from './support/under-load.js'

void t.test('no request fails', { timeout: 120_000 }, (t) => underLoad(t, 10_000))
