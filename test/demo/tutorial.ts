/** What the tutorial's manifests speak of: a client, a node, and Pods that are network namespaces with real servers in them. */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { podNames, pods } from '../../docs/examples/tutorial-hosts.js'
import { type Host, sandbox } from '../../src/testing/index.js'

export const say = (line = ''): void => console.log(line)

/** What is shown must be so: otherwise it ends with an error. */
export function ensure(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(`The demo went wrong: ${what}`)
}

/** Manifests are files: what is changed in them is a copy. Both go when it is disposed of. */
export async function tutorial() {
  const net = await sandbox({
    hosts: ['client', 'node', ...podNames] as const,
    links: [
      { hosts: ['client', 'node'], ipv4: '192.0.2.0/24' },
      ...podNames.map((pod) => ['node', pod] as const),
    ],
    settings: {
      node: {
        defaultRoute: 'client',
        routes: podNames.map((pod) => ({ destination: `${pods[pod].address}/32`, via: pod })),
      },
      ...Object.fromEntries(podNames.map((pod) => [pod, { addresses: [`${pods[pod].address}/32`] }])),
    },
  })
  for (const pod of podNames) {
    await net.hosts[pod].serve((_, response) => response.end(pod), { port: pods[pod].port })
  }
  const folder = await mkdtemp(path.join(tmpdir(), 'viaduct-demo-'))
  const manifests = path.join(folder, 'manifests')
  await cp('docs/examples/tutorial', manifests, { recursive: true })
  const { client, node } = net.hosts
  return {
    client,
    node,
    folder,
    manifests,
    /** As if its node had died: another one with another address has its place. */
    async replacePod(): Promise<void> {
      const file = path.join(manifests, 'pods.yaml')
      const manifest = await readFile(file, 'utf8')
      await writeFile(
        file,
        manifest.replaceAll('web-1', 'web-3').replaceAll(pods['web-1'].address, pods['web-3'].address),
      )
    },
    async [Symbol.asyncDispose](): Promise<void> {
      await rm(folder, { recursive: true, force: true })
      await net.close()
    },
  }
}

export async function ask(host: Host, address: string, port = 80): Promise<string> {
  return (await host.fetch(`http://${address}:${port}/`, { headers: { connection: 'close' } })).text()
}

/** Who answers how often. */
export async function spread(host: Host, address: string, times: number, port = 80): Promise<string> {
  const counts = new Map<string, number>()
  for (let index = 0; index < times; index++) {
    const name = await ask(host, address, port)
    counts.set(name, (counts.get(name) ?? 0) + 1)
  }
  return [...counts]
    .sort()
    .map(([name, count]) => `${name} ×${count}`)
    .join(', ')
}
