/**
 * The end of `npm run demo`: one command, `viaduct run`, on the tutorial's folder. A client asks for a service by its name and
 * reaches it while a Pod is replaced.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import packet from 'dns-packet'
import type { Host } from '../../src/testing/index.js'
import { ask, ensure, say, tutorial } from './tutorial.js'

await using place = await tutorial()
const { client, node, folder, manifests } = place
const config = path.join(folder, 'config.json')
const socket = path.join(folder, 'control.sock')
await writeFile(
  config,
  JSON.stringify({
    apiVersion: 'viaduct/v1',
    kind: 'Configuration',
    node: { name: 'node-a', clusterRanges: ['10.244.0.0/16'], serviceRanges: ['10.96.0.0/16'] },
    dns: { listen: [{ address: node.address }] },
    state: { file: path.join(folder, 'state') },
    control: { socket },
    log: { level: 'info' },
  }),
)

/** `viaduct …` in the node's namespace. */
function viaduct(...words: readonly string[]): ChildProcess {
  const netns = `/proc/${process.pid}/fd/${node.netns.fd}`
  const command = [path.resolve('dist/bundle/cli/main.js'), '--netns', netns, ...words]
  return spawn(process.execPath, command, { stdio: ['ignore', 'pipe', 'pipe'] })
}

async function output(...words: readonly string[]): Promise<string> {
  const child = viaduct(...words, '--socket', socket)
  let text = ''
  child.stdout!.setEncoding('utf8').on('data', (piece: string) => (text += piece))
  const [code] = (await once(child, 'close')) as [number]
  ensure(code === 0, `viaduct ${words.join(' ')} ended with ${code}`)
  return text
}

/** As a client does: the name is asked for, and the address that it has. */
async function resolve(host: Host, name: string): Promise<string> {
  const connection = await host.connect({ address: node.address, port: 53 })
  connection.write(packet.streamEncode({ type: 'query', id: 1, questions: [{ type: 'A', name }] }))
  const [bytes] = (await once(connection, 'data')) as [Buffer]
  connection.destroy()
  const answer = packet.streamDecode(bytes).answers?.find(({ type }) => type === 'A')
  ensure(answer?.type === 'A', `${name} has no address`)
  return answer.data
}

const running = viaduct('run', '-f', manifests, '--config', config)
try {
  await demo()
} finally {
  running.kill('SIGTERM')
}

async function demo(): Promise<void> {
  say('The same by one command: viaduct run -f docs/examples/tutorial')
  let told = ''
  await new Promise<void>((done, reject) => {
    running.stderr!.setEncoding('utf8').on('data', (piece: string) => {
      told += piece
      if (told.includes('"msg":"running"')) done()
    })
    running.once('close', () => reject(new Error(`viaduct run has ended: ${told}`)))
  })
  say(`\n$ viaduct get services\n${await output('get', 'services')}`)

  const name = 'web.default.svc.cluster.local'
  say(`${name} is asked for and reached, again and again, while a Pod is replaced`)
  const counts = new Map<string, number>()
  const request = async (): Promise<string> => {
    const by = await ask(client, await resolve(client, name))
    counts.set(by, (counts.get(by) ?? 0) + 1)
    return by
  }
  for (let index = 0; index < 12; index++) await request()
  await place.replacePod()
  const deadline = AbortSignal.timeout(10_000)
  while ((await request()) !== 'web-3') deadline.throwIfAborted()
  const before = counts.get('web-1')
  for (let index = 0; index < 12; index++) await request()
  ensure(counts.get('web-1') === before, 'the Pod that was replaced still answers')
  const shares = [...counts].sort().map(([by, count]) => `${by} ×${count}`)
  say(`  ${shares.join(', ')}; no request failed`)

  say(`\n$ viaduct explain 10.96.0.10:80 --from ${client.address}`)
  say(await output('explain', '10.96.0.10:80', '--from', client.address))
  running.kill('SIGTERM')
  await once(running, 'close')
  say(
    `viaduct run has ended, and ${await ask(client, '10.96.0.10')} answers still: what is programmed goes on forwarding.`,
  )
  say('\nDone; nothing is left behind.')
}
