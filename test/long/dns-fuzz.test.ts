/** A million hostile messages to a DNS server. `VIADUCT_FUZZ_SEED` repeats a run, `VIADUCT_FUZZ_INPUTS` makes it longer. */
import t from 'tap'
import { hostile } from '../unit/support/dns-hostile.js'

const inputs = Number(process.env['VIADUCT_FUZZ_INPUTS'] ?? 1_000_000)
const seed = Number(process.env['VIADUCT_FUZZ_SEED'] ?? Date.now() % 0x7fff_ffff)

t.test(`${inputs} hostile DNS messages (seed ${seed})`, { timeout: 1_200_000 }, (t) => {
  const begun = performance.now()
  const answers = hostile(inputs, seed)
  t.comment(JSON.stringify(answers), `${((performance.now() - begun) / 1000).toFixed(0)} s`)
  for (const rcode of ['none', 'NOERROR', 'FORMERR', 'NXDOMAIN', 'REFUSED', 'NOTIMP'])
    t.ok(answers[rcode]! > 100, rcode)
  t.end()
})
