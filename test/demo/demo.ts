/**
 * `npm run demo`: what the library is for, with real packets. A client, a director and real servers in network
 * namespaces that this process holds and nobody else: whatever ends it, nothing is left behind.
 */
import { once } from 'node:events'
import { release } from 'node:os'
import { run as ipvsadm } from '../../src/cli/ipvsadm/index.js'
import { type DestinationInput, IpvsService } from '../../src/index.js'
import { type Host, sandbox } from '../../src/testing/index.js'

const virtualAddress = '192.0.2.10'
const say = (line = ''): void => console.log(line)

/** What is shown must be so: otherwise it ends with an error. */
function ensure(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(`The demo went wrong: ${what}`)
}

await using net = await sandbox({
  hosts: ['client', 'director', 'a', 'b', 'c', 'd'] as const,
  links: [
    ['client', 'director'],
    ['director', 'a', 'b', 'c', 'd'],
  ],
  settings: { director: { addresses: [`${virtualAddress}/32`] } },
})
const { client, director, a, b, c, d } = net.hosts
const server = (host: Host, weight: number): DestinationInput => ({
  address: host.address,
  port: 8080,
  weight,
})

for (const host of [a, b, c, d]) {
  await host.serve((_, response) => response.end(host.name), { port: 8080 })
  // For one long connection: tells its name again for every line that it gets.
  await host.serveTcp((socket) => socket.on('data', () => socket.write(`${host.name}\n`)), { port: 8081 })
}

say(`Linux ${release()}: a client, a director and real servers, each in a network namespace of its own.`)
say(
  `  client ${client.address} → director ${virtualAddress}:80 → a ${a.address}, b ${b.address}, c ${c.address}`,
)

await using web = await IpvsService.create(
  { protocol: 'tcp', address: virtualAddress, port: 80, scheduler: 'wrr' },
  { netns: director.netns },
)
await using long = await IpvsService.create(
  { protocol: 'tcp', address: virtualAddress, port: 81, scheduler: 'rr' },
  { netns: director.netns },
)
await web.servers.set([server(a, 3), server(b, 2), server(c, 1)])

async function request(): Promise<string> {
  return (await client.fetch(`http://${virtualAddress}/`)).text()
}

function show(counts: ReadonlyMap<string, number>, note: (name: string) => string = () => ''): void {
  for (const [name, count] of [...counts].sort()) {
    say(`  ${name}  ${'█'.repeat(count)} ${count}${note(name)}`)
  }
}

/** Requests, one after the other, until `done`; every one must be answered. */
async function load(done: Promise<unknown>): Promise<Map<string, number>> {
  const counts = new Map<string, number>()
  let going = true
  void done.finally(() => (going = false))
  while (going) count(counts, await request())
  return counts
}

function count(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1)
}

say('\n1. Sixty requests are spread by weight')
const counts = new Map<string, number>()
for (let index = 0; index < 60; index++) count(counts, await request())
const weights: Record<string, number> = { a: 3, b: 2, c: 1 }
show(counts, (name) => `  (weight ${weights[name]})`)
for (const [name, weight] of Object.entries(weights)) {
  ensure(
    counts.get(name) === weight * 10,
    `${name} got ${counts.get(name)} of 60 requests, not ${weight * 10}`,
  )
}

say('\n2. One server is drained while a long connection through it goes on')
await long.servers.set([{ ...server(a, 1), port: 8081 }])
const socket = await client.connect({ address: virtualAddress, port: 81 })
socket.setEncoding('utf8')
const ask = async (): Promise<string> => {
  socket.write('who are you?\n')
  return String((await once(socket, 'data'))[0]).trim()
}
say(`  a long connection is open, to ${await ask()}`)
await long.servers.add({ ...server(b, 1), port: 8081 })
const drained = long.drain({ address: a.address, port: 8081 }, { timeoutSeconds: 30 })
for await (const event of long.watch({ intervalSeconds: 0.1 })) {
  const draining = event.type === 'statistics' && event.servers.find(({ address }) => address === a.address)
  if (draining === false || draining?.weight !== 0) continue
  say(`  a has weight 0 and ${draining.activeConnections} active connection`)
  break
}
const during = await long.statistics()
const fresh = await client.connect({ address: virtualAddress, port: 81 })
fresh.write('who are you?\n')
const taker = String((await once(fresh, 'data'))[0]).trim()
ensure(taker === 'b', `a new connection went to ${taker} in spite of weight 0`)
say(`  a new connection goes to ${taker}`)
fresh.destroy()
let answers = 0
for (; answers < 20; answers++) {
  const name = await ask()
  ensure(name === 'a', `the long connection went to ${name}`)
}
say(`  the long connection has had ${answers} answers from a meanwhile`)
socket.end()
const result = await drained
say(`  it ends, and a is taken out: drained ${result.drained}, ${result.remaining} connections left`)
ensure(result.drained && result.deleted && during.servers.length === 2, 'the drain did not end')

say('\n3. A server is replaced by another, as when a Pod is recreated, under load')
const before = new Map<string, number>()
const after = new Map<string, number>()
const replaced = (async () => {
  for (let index = 0; index < 12; index++) count(before, await request())
  const change = await web.servers.set([server(a, 3), server(b, 2), server(d, 1)], { removed: 'drain' })
  for (let index = 0; index < 12; index++) count(after, await request())
  return change
})()
const answered = await load(replaced)
const { added, removed, unchanged } = await replaced
say(
  `  added ${added.length}, removed ${removed.length}, unchanged ${unchanged.length}; every one of ${[...answered.values()].reduce((sum, n) => sum + n, 24)} requests was answered, none lost`,
)
ensure(
  added.length === 1 && removed.length === 1 && unchanged.length === 2,
  'more was changed than one server',
)
ensure(!before.has('d') && !after.has('c'), 'a request went to a server that was not there')
ensure(answered.has('d') || after.has('d'), 'd got no request')
show(answered)

say('\n4. The table as ipvsadm -Ln would print it')
await ipvsadm(
  ['-Ln'],
  { stdin: process.stdin, stdout: process.stdout, stderr: process.stderr },
  { netns: director.netns },
)
await long.delete()
await web.delete()
say('\nDone; nothing is left behind.')
