/**
 * The part of `npm run demo` about health: requests go on while a server's process is killed, and while a whole host vanishes
 * with connections open. Every server is a network namespace; what it tells are the events of the monitor.
 */
import { release } from 'node:os'
import { HealthMonitor, ServiceChecks } from '../../src/health/index.js'
import { openDataplane, Reconciler } from '../../src/services/index.js'
import { sandbox, type Served } from '../../src/testing/index.js'

const say = (line = ''): void => console.log(line)

/** What is shown must be so: otherwise it ends with an error. */
function ensure(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(`The demo went wrong: ${what}`)
}

const names = ['a', 'b', 'c', 'd'] as const
type Name = (typeof names)[number]
const frontend = { address: '10.96.0.20', port: 80 }
const port = 8080
/** A request that takes longer has failed. */
const patience = 300
const rules = {
  intervalMilliseconds: 200,
  timeoutMilliseconds: 250,
  fall: 2,
  rise: 2,
  backoff: false,
} as const
const { intervalMilliseconds: interval, timeoutMilliseconds: timeout, fall } = rules

await using net = await sandbox({
  hosts: ['client', 'node', ...names] as const,
  links: [['client', 'node'], { hosts: ['node', ...names], switch: true }],
  settings: { node: { defaultRoute: 'client' } },
})
const { client, node } = net.hosts
const nameOf = new Map(names.map((name) => [net.hosts[name].address, name]))
const served = new Map<Name, Served>()
/** Answers each line with its name, for as long as the client likes. */
async function serve(name: Name): Promise<void> {
  served.set(
    name,
    await net.hosts[name].serveTcp((socket) => socket.on('data', () => socket.write(name)), { port }),
  )
}
for (const name of names) await serve(name)

const monitor = new HealthMonitor()
await using dataplane = await openDataplane({ kind: 'nftables', netns: node.netns })
const shaper = new ServiceChecks(monitor, () => ({
  check: { kind: 'tcp', netns: node.netns },
  rules: { ...rules, onFailure: 'end-connections' },
}))
await using reconciler = new Reconciler({ dataplane, shaper })
reconciler.upsert({
  name: 'web',
  address: frontend.address,
  ports: [{ port: frontend.port, targetPort: port }],
  servers: names.map((name) => ({ address: net.hosts[name].address, port })),
})
await reconciler.start()

/** A connection, and who answers on it. */
async function open() {
  const socket = await client.connect({ ...frontend, signal: AbortSignal.timeout(patience) })
  const answer = new Promise<Name>((resolve, reject) => {
    socket.once('data', (bytes) => resolve(String(bytes) as Name))
    socket.once('error', reject).once('close', () => reject(new Error('closed')))
    setTimeout(() => reject(new Error('no answer')), patience).unref()
  })
  socket.write('?')
  return { socket, by: await answer.finally(() => socket.removeAllListeners('close')) }
}

let [answered, failed, isOver] = [0, 0, false]
/** When the last request was sent that failed. */
let lastFailed = 0
const asking = Promise.all(
  [1, 2, 3, 4].map(async () => {
    while (!isOver) {
      const began = performance.now()
      try {
        const { socket } = await open()
        socket.destroy()
        answered++
      } catch {
        failed++
        lastFailed = Math.max(lastFailed, began)
      }
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }),
)

let since = performance.now()
const waiting = new Map<string, () => void>()
void (async () => {
  for await (const told of monitor.events()) {
    if (told.event === 'resynchronise' || told.server === undefined) continue
    const name = nameOf.get(told.server.address)!
    if (performance.now() - since > 0 && told.reason !== 'the first check passed') {
      const at = `+${((performance.now() - since) / 1000).toFixed(2)} s`
      say(`  ${at}  ${name} ${told.event.padEnd(17)} ${told.reason}`)
    }
    waiting.get(`${name} ${told.event}`)?.()
  }
})()
const seen = (name: Name, event: string): Promise<void> =>
  new Promise((resolve) => waiting.set(`${name} ${event}`, resolve))

/** Something happens to a server, and then it is undone. */
async function lose(name: Name, bound: number, die: () => unknown, revive: () => unknown): Promise<void> {
  const [answeredBefore, failedBefore] = [answered, failed]
  lastFailed = 0
  since = performance.now()
  const out = seen(name, 'taken-out')
  await die()
  await out
  const from = answered
  while (answered < from + 100) await new Promise((resolve) => setTimeout(resolve, 20))
  const last = lastFailed === 0 ? 0 : lastFailed - since
  say(`  ${answered - answeredBefore} requests were answered meanwhile, ${failed - failedBefore} failed`)
  say(`  the last that failed was sent ${last.toFixed(0)} ms after it; promised are ${bound.toFixed(0)} ms`)
  ensure(last <= bound + 200, `requests failed for ${last.toFixed(0)} ms`)
  const back = seen(name, 'put-back')
  const failedOnce = failed
  since = performance.now()
  await revive()
  await back
  await reconciler.settled()
  ensure(failed === failedOnce, `${failed - failedOnce} requests failed after it was out`)
}

say(`Linux ${release()}: four servers behind ${frontend.address}, checked every ${interval} ms, on nftables.`)
while (answered < 100) await new Promise((resolve) => setTimeout(resolve, 20))
ensure(failed === 0, `${failed} requests failed before anything happened`)

say('\n1. The process of b is killed')
await lose(
  'b',
  fall * interval * 1.1 + 50,
  () => served.get('b')!.close(),
  () => serve('b'),
)

say('\n2. The host c vanishes, while a client waits for it on an open connection')
let kept = await open()
while (kept.by !== 'c') {
  kept.socket.destroy()
  kept = await open()
}
const reset = new Promise<string>((resolve) =>
  kept.socket.once('error', (error: NodeJS.ErrnoException) => {
    const after = `${(performance.now() - since).toFixed(0)} ms`
    say(`  the client that waited has ${error.code}, ${after} after the loss`)
    resolve(error.code ?? '')
  }),
)
const { rtnetlink, interfaces } = net.hosts.c
const { device } = interfaces[0]!
await lose(
  'c',
  fall * (interval + timeout) + 50,
  () => rtnetlink.links.set(device, { up: false }),
  async () => {
    ensure((await reset) === 'ECONNRESET', 'the open connection was not reset')
    await rtnetlink.links.set(device, { up: true })
    const gateway = node.towards('c').address
    await rtnetlink.routes.replace({ destination: '0.0.0.0/0', gateway })
  },
)

isOver = true
await asking
say(`\nOf ${answered + failed} requests ${failed} failed, all before b and c were out.`)
monitor.close()
await reconciler.close()
await dataplane.teardown()
say('Done; nothing is left behind.')
