/**
 * The hosts of docs/guides/tutorial.md, on one machine: a client, a balancer, two nodes, and Pods that answer with their names.
 * Each has a network namespace, and a `/run`, a `/var/lib` and an `/etc/resolv.conf` of its own.
 *
 *   npm run build && node dist/docs/examples/tutorial-hosts.js
 *
 * as root prints how to enter each. They are gone when it is ended.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { type Host, sandbox } from 'viaduct/testing'

const root = fileURLToPath(new URL('../../../', import.meta.url))

/** By the addresses that their manifests say they have. The third one comes later, on another node. */
export const pods = {
  'web-1': { node: 'node-a', address: '10.244.0.11', port: 8080 },
  'web-2': { node: 'node-b', address: '10.244.1.12', port: 8081 },
  'web-3': { node: 'node-a', address: '10.244.0.13', port: 8080 },
} as const
export const podNames = ['web-1', 'web-2', 'web-3'] as const
const entered = ['client', 'shell', 'node-a', 'node-b', 'edge'] as const

export type TutorialHost = (typeof entered)[number]

/** What `enter` runs stands in a mount namespace that this keeps until its input ends, as it does when this process is killed. */
const ownFiles = `set -e
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/lib
file=$(readlink -m /etc/resolv.conf)
mkdir -p "$(dirname "$file")"
touch "$file"
mount --bind "$1" "$file"
echo ready
exec cat`

export async function tutorialHosts() {
  const net = await sandbox({
    hosts: [...entered, ...podNames] as const,
    links: [
      { hosts: ['client', 'edge', 'node-a', 'node-b'], ipv4: '192.0.2.0/24' },
      { hosts: ['node-a', 'shell'], ipv4: '10.244.0.64/30' },
      ...podNames.map((name) => [pods[name].node, name] as const),
    ],
    settings: {
      // The address of the load balancer, and no other one: clients outside have no way to cluster addresses.
      client: { defaultRoute: false, routes: [{ destination: '203.0.113.0/24', via: 'edge' }] },
      edge: { forwarding: true },
      'node-a': { defaultRoute: 'client', routes: [...routesTo('node-a'), via('10.244.1.0/24', 'node-b')] },
      'node-b': { defaultRoute: 'client', routes: [...routesTo('node-b'), via('10.244.0.0/24', 'node-a')] },
      ...Object.fromEntries(podNames.map((name) => [name, { addresses: [`${pods[name].address}/32`] }])),
    },
  })
  const folder = await realpath(await mkdtemp(path.join(tmpdir(), 'viaduct-tutorial-')))
  const keepers: ChildProcess[] = []
  const close = async (): Promise<void> => {
    for (const keeper of keepers) {
      keeper.stdin!.end()
      if (keeper.exitCode === null && keeper.signalCode === null) await once(keeper, 'exit')
    }
    await net.close()
    await rm(folder, { recursive: true, force: true })
  }
  try {
    for (const name of podNames) {
      const { port } = pods[name]
      await net.hosts[name].serve((_request, response) => response.end(`${name}\n`), { port })
    }
    await cp(path.join(root, 'docs/examples/tutorial'), path.join(folder, 'tutorial'), { recursive: true })
    await cp(path.join(root, 'docs/examples/tutorial-hosts'), folder, { recursive: true })
    await mkdir(path.join(folder, 'manifests'))
    const command = `#!/bin/sh\nexec '${process.execPath}' '${root}dist/bundle/cli/main.js' "$@"\n`
    await executable(path.join(folder, 'bin/viaduct'), command)
    const resolver = path.join(folder, 'resolv.conf')
    const { address } = net.hosts['node-a'].towards('shell')
    await writeFile(resolver, `nameserver ${address}\nsearch default.svc.cluster.local svc.cluster.local\n`)
    for (const name of entered) {
      const keeper = await keep(net.hosts[name], resolver)
      keepers.push(keeper)
      await executable(path.join(folder, 'enter', name), enter(keeper.pid!, name, folder))
    }
  } catch (error) {
    await close()
    throw error
  }
  return {
    folder,
    /** A program that runs `COMMAND …` on the host, in the tutorial's folder; a shell unless any is given. */
    enter: (host: TutorialHost): string => path.join(folder, 'enter', host),
    close,
  }
}

function routesTo(node: string) {
  return podNames
    .filter((name) => pods[name].node === node)
    .map((name) => via(`${pods[name].address}/32`, name))
}

function via(destination: string, host: string) {
  return { destination, via: host }
}

async function keep(host: Host, resolver: string): Promise<ChildProcess> {
  const inside = `--net=/proc/${process.pid}/fd/${host.netns.fd}`
  const words = [inside, 'unshare', '--mount', 'sh', '-c', ownFiles, 'sh', resolver]
  const keeper = spawn('nsenter', words, { stdio: ['pipe', 'pipe', 'inherit'] })
  const [said] = (await Promise.race([once(keeper.stdout, 'data'), once(keeper, 'exit')])) as [unknown]
  if (String(said) !== 'ready\n') throw new Error(`${host.name} has no files of its own`)
  return keeper
}

function enter(pid: number, name: string, folder: string): string {
  return `#!/bin/sh
[ $# -gt 0 ] || set -- env PS1='${name}# ' sh -i
PATH='${folder}/bin':$PATH
export PATH
exec nsenter --target ${pid} --net --mount -- sh -c 'cd ${folder} && exec "$@"' sh "$@"
`
}

async function executable(file: string, text: string): Promise<void> {
  await mkdir(path.dirname(file), { recursive: true })
  await writeFile(file, text, { mode: 0o755 })
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const hosts = await tutorialHosts()
  for (const name of entered) console.log(hosts.enter(name))
  console.log('\nEach of these is a host to enter. ^C ends them all.')
  // Signals alone keep no process.
  const staying = setInterval(() => undefined, 1 << 30)
  await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])
  clearInterval(staying)
  await hosts.close()
}
