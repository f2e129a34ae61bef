/**
 * `viaduct run` over a hundred thousand changes: what it holds in memory and which descriptors it has open stay what they were.
 * `VIADUCT_SEED` repeats a run, `VIADUCT_CHANGES` makes it another length.
 */
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import t from 'tap'
import { ask as askAgent } from '../../src/cli/agent/ask.js'
import type { Description, EndpointView, ServiceView, StatusView } from '../../src/agent/index.js'
import { ensurePeers, peer } from '../kernel/command.js'
import { ask, clusterAddress, serverPort } from '../kernel/services-network.js'
import { place, pod, service } from '../kernel/support/running.js'
import { seeded } from '../kernel/support/seeds.js'
import { until } from '../lab/support/until.js'

const changes = Number(process.env['VIADUCT_CHANGES'] ?? 100_000)
const fileCount = 100
const perFile = 10
/** Files that change at once. */
const burst = 50

/** Of the samples, in order. */
function thirds(samples: readonly number[]): [middle: number, last: number] {
  const third = Math.floor(samples.length / 3)
  return [median(samples.slice(third, 2 * third)), median(samples.slice(2 * third))]
}

function median(samples: readonly number[]): number {
  return [...samples].sort((one, other) => one - other)[samples.length >> 1]!
}

void t.test('memory and descriptors stay what they were', { timeout: 3_600_000 }, async (t) => {
  const random = seeded(t)
  const { hosts, folder, socket, write, configure, start, asked } = await place(t)
  const { client, node, a, b, c } = hosts
  await ensurePeers('bind9-dnsutils')
  const many = path.join(folder, 'many')
  await mkdir(many)
  await configure({
    manifests: [many],
    dns: { listen: [{ address: node.address }] },
    health: { checks: [{ services: ['default/checked-*'], check: { kind: 'tcp' } }] },
  })

  /** What the files say, by the key of the virtual service. */
  const wanted = new Map<string, readonly string[]>()
  const keysOf = Array.from({ length: fileCount }, () => [] as string[])
  let made = 0
  /** Each time other servers; in every second file a name, too, that never was. One of each ten is checked. */
  const fill = async (file: number): Promise<void> => {
    for (const key of keysOf[file]!.splice(0)) wanted.delete(key)
    const objects = Array.from({ length: perFile }, (_, index) => {
      made++
      const name = `${index === 0 ? 'checked' : 'web'}-${file}-${index}${file % 2 === 0 ? '' : `-${made}`}`
      const servers =
        index === 0
          ? random.some([a, b, c], 1).map(({ address }) => `${address}:${serverPort}`)
          : Array.from(
              { length: 3 },
              () => `10.${random.below(200)}.${random.below(250)}.${1 + random.below(250)}:8080`,
            )
      servers.push(
        `10.251.${(made >> 8) & 255}.${made & 255}:${index === 0 ? 1 + random.below(60_000) : 8080}`,
      )
      const key = `default/${name}:80/tcp/ipv4`
      keysOf[file]!.push(key)
      wanted.set(key, [...new Set(servers)].sort())
      return {
        name,
        address: `172.30.${1 + file}.${1 + index}`,
        ports: [{ port: 80, targetPort: serverPort }],
        servers: [...new Set(servers)],
      }
    })
    const name = path.join(many, `${file}.yaml`)
    await writeFile(`${name}.new`, objects.map((one) => JSON.stringify(one)).join('\n---\n'))
    await rename(`${name}.new`, name)
  }
  /** What the process says that it has programmed. */
  const has = async (): Promise<Map<string, readonly string[]>> => {
    const found = new Map<string, string[]>()
    for (const { service: key, address, port } of await question<EndpointView[]>('endpoints')) {
      if (key === 'default/web:80/tcp/ipv4') continue
      const list = found.get(key)
      if (list === undefined) found.set(key, [`${address}:${port}`])
      else list.push(`${address}:${port}`)
    }
    for (const list of found.values()) list.sort()
    return found
  }
  const question = <T>(what: string): Promise<T> => askAgent<T>({ socket, path: `/v1/${what}` })

  for (let file = 0; file < fileCount; file++) await fill(file)
  await write(service('web', clusterAddress.ipv4), pod('one', a.address))
  const running = await start()
  const proc = `/proc/${running.process.pid}`
  const [memory, descriptors]: [number[], number[]] = [[], []]
  const began = performance.now()
  for (let changed = made; made - changed < changes;) {
    const files = random.some([...keysOf.keys()], burst, burst)
    for (const file of files) await fill(file)
    const host = random.of([a, b, c])
    await write(service('web', clusterAddress.ipv4), pod(`pod-${made}`, host.address))
    await until(
      'it has what the files say',
      async () => {
        const now = await has()
        return (
          now.size === wanted.size &&
          [...wanted].every(([key, servers]) => String(now.get(key)) === String(servers))
        )
      },
      { deadlineSeconds: 60, everyMilliseconds: 50 },
    )
    await until(
      'packets go to the Pod',
      async () => (await ask(client, clusterAddress.ipv4)).join() === host.name,
    )
    const dig = ['dig', '+short', `@${node.address}`, 'web.default.svc.cluster.local']
    t.equal((await peer(client.netns, dig)).trim(), clusterAddress.ipv4)
    const name = random.of([...wanted.keys()]).split(/[/:]/)[1]!
    t.match(await question<Description>(`service?name=${name}`), { name })
    t.match(await question(`explain?address=${clusterAddress.ipv4}&port=80`), { verdict: 'forwarded' })
    t.equal((await question<ServiceView[]>('services')).length, wanted.size + 1)
    t.match(await question<StatusView>('status'), { health: { servers: Number } })
    const status = await readFile(`${proc}/status`, 'utf8')
    memory.push(Number(/VmRSS:\s+(\d+)/.exec(status)![1]))
    descriptors.push((await readdir(`${proc}/fd`)).length)
  }
  const seconds = ((performance.now() - began) / 1000).toFixed(0)
  const [middle, last] = thirds(memory)
  const [openBefore, openAfter] = thirds(descriptors)
  t.comment(
    `${made} changes in ${seconds} s: ${middle} kB, then ${last} kB (${((last / middle) * 100 - 100).toFixed(1)} %)`,
  )
  t.comment(`descriptors: ${openBefore}, then ${openAfter}`)
  t.comment(memory.filter((_, at) => at % Math.ceil(memory.length / 20) === 0).join(' '))
  t.ok(last <= middle * 1.05, 'memory stays')
  // Connections of checks come and go.
  t.ok(openAfter <= openBefore + 3, 'descriptors stay')
  t.match(await asked('status'), { code: 0 })
  running.process.kill('SIGTERM')
  t.equal(await running.ended, 0)
  await rm(many, { recursive: true })
})
