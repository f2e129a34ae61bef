/**
 * The same in iptables' old tables (x_tables), which kube-proxy's first mode fills: a list of services that is gone through, a
 * chain for each of them that draws an endpoint by chance, and a chain for each endpoint.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { type Place, within } from '../processes.js'
import type { Size } from './objects.js'
import { type Probe, ruleServices } from './rules.js'

function* linesOf(size: Size, probe: Probe): Generator<string> {
  const services = ruleServices(size, probe)
  yield '*nat'
  for (const chain of ['services', 'mark-for-masquerade']) yield `:${chain} - [0:0]`
  for (const { chain, servers } of services) {
    yield `:${chain} - [0:0]`
    for (const index of servers.keys()) yield `:${chain}-${index} - [0:0]`
  }
  yield '-A PREROUTING -j services'
  yield '-A OUTPUT -j services'
  yield '-A POSTROUTING -m mark --mark 0x4000/0x4000 -j MASQUERADE --random-fully'
  yield '-A mark-for-masquerade -j MARK --or-mark 0x4000'
  for (const { chain, address, protocol, port, servers } of services) {
    const name = protocol === 6 ? 'tcp' : 'udp'
    yield `-A services -d ${address}/32 -p ${name} -m ${name} --dport ${port} -j ${chain}`
    yield `-A ${chain} ! -s 10.0.0.0/8 -j mark-for-masquerade`
    for (const [index, [server, serverPort]] of servers.entries()) {
      const left = servers.length - index
      const drawn = left === 1 ? '' : `-m statistic --mode random --probability ${(1 / left).toFixed(10)} `
      yield `-A ${chain} ${drawn}-j ${chain}-${index}`
      yield `-A ${chain}-${index} -p ${name} -m ${name} -j DNAT --to-destination ${server}:${serverPort}`
    }
  }
  yield 'COMMIT\n'
}

export async function addLegacyRules(netns: Place, size: Size, probe: Probe): Promise<void> {
  const [program, words] = within(netns, ['iptables-legacy-restore'])
  const child = spawn(program, words, { stdio: ['pipe', 'ignore', 'pipe'] })
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text))
  child.stdin.on('error', () => undefined)
  child.stdin.end([...linesOf(size, probe)].join('\n'))
  const [status] = (await once(child, 'close')) as [number | null]
  if (status !== 0) throw new Error(`iptables-legacy-restore: ${errors}`)
}
