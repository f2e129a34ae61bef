/** Some seconds of requests while nodes and balancers in front of them are killed one by one: what fails is accounted for. */
import t from 'tap'
import { edgeUnderLoad } from './support/edge-under-load.js'

void t.test('requests fail only until a failure can be known', { timeout: 120_000 }, (t) =>
  edgeUnderLoad(t, 10_000),
)
