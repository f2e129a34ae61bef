/** `viaduct explain` against what packets do: every case of conformance that is tested with packets elsewhere. */
import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import { explain, type Surroundings } from '../../src/agent/explain.js'
import { formatEndpoint, ServiceModel } from '../../src/model/index.js'
import { isLoopback, readSituations, type Situation } from '../conformance/situation.js'

const folder = 'test/conformance'
const files = readdirSync(folder).filter((file) => file.endsWith('.json') && !file.includes('dns'))

function surroundingsOf({ node, objects }: Situation, kind: Surroundings['kind']): Surroundings {
  const model = new ServiceModel({ nodeName: node.name })
  for (const object of objects) model.upsert(object)
  return {
    kind,
    name: 'viaduct',
    services: [...model.virtualServices()],
    programmed: [],
    nodeAddresses: node.addresses,
    clusterRanges: node.clusterRanges,
    serviceRanges: node.serviceRanges,
    nodePortAddresses: node.nodePortAddresses,
    masqueradeAll: node.masqueradeAll,
    standing: () => () => undefined,
  }
}

for (const file of files) {
  t.test(`what is said of ${file}`, async (t) => {
    let compared = 0
    for (const situation of readSituations(readFileSync(`${folder}/${file}`, 'utf8')).flat()) {
      const around = surroundingsOf(situation, 'nftables')
      for (const packet of situation.packets) {
        const { from, to, port, protocol, expected } = packet
        const says = explain({ address: to, port, protocol, from }, around)
        const what = `${situation.name}: ${packet.name}`
        const verdicts = {
          endpoints: 'forwarded',
          reject: 'rejected',
          drop: 'dropped',
          none: 'not-ours',
        } as const
        if (says.verdict !== verdicts[expected.outcome]) t.strictSame(says, expected, what)
        else if (expected.outcome === 'endpoints') {
          const said = says.candidates.map(({ address, port: at }) => formatEndpoint(address, at)).sort()
          const wanted = [...expected.endpoints].sort()
          t.strictSame(said, wanted, what)
          if (
            !isLoopback(from) &&
            !around.nodeAddresses.includes(from) &&
            says.candidates.every(({ address }) => address !== from)
          )
            t.equal(says.isMasqueraded, expected.masquerade, `${what}: masquerade`)
        } else t.pass(what)
        compared++
      }
    }
    t.ok(compared > 0)
  })
}
