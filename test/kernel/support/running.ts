/** A `viaduct run` of a process of its own, on a node with servers behind it: what tests of it have in common. */
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Test } from 'tap'
import type { NetworkNamespace } from '../../../src/net/index.js'
import { published, start as startProgram } from '../command.js'
import { serverPort, serviceNetwork } from '../services-network.js'

export const service = (name: string, address: string, more: object = {}): object => ({
  kind: 'Service',
  apiVersion: 'v1',
  metadata: { name },
  spec: {
    clusterIP: address,
    selector: { app: 'web' },
    ports: [{ port: 80, targetPort: serverPort }],
    ...more,
  },
})
export const pod = (name: string, address: string): object => ({
  kind: 'Pod',
  apiVersion: 'v1',
  metadata: { name, labels: { app: 'web' } },
  spec: { nodeName: 'node' },
  status: {
    phase: 'Running',
    podIP: address,
    podIPs: [{ ip: address }],
    conditions: [{ type: 'Ready', status: 'True' }],
  },
})

export type Started = ReturnType<typeof startProgram>

export const startCommand = (netns: NetworkNamespace, words: readonly string[]): Started =>
  startProgram(process.execPath, [...published(netns), ...words])

export async function runCommand(netns: NetworkNamespace, words: readonly string[]) {
  const started = startCommand(netns, words)
  const code = await started.ended
  return { code, stdout: started.lines.map((line) => `${line}\n`).join(''), stderr: started.stderr }
}

/** @throws what it said instead, if it has ended */
export const says = (running: Started, text: string): Promise<void> =>
  Promise.race([
    running.until(({ stderr }) => stderr.includes(text)),
    running.ended.then((code) => {
      throw new Error(`ended with ${code}, and never said ${text}: ${running.stderr}`)
    }),
  ])

/** A node with a folder of manifests; nothing runs yet. */
export async function place(t: Test) {
  const { hosts } = await serviceNetwork(t)
  const folder = await mkdtemp(path.join(tmpdir(), 'viaduct-run-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const manifests = path.join(folder, 'manifests.yaml')
  const config = path.join(folder, 'config.yaml')
  const socket = path.join(folder, 'run', 'control.sock')
  const state = path.join(folder, 'state')
  const write = async (...objects: object[]): Promise<void> => {
    // As editors do it: whoever reads sees the old one or the new one.
    await writeFile(`${manifests}.new`, objects.map((one) => JSON.stringify(one)).join('\n---\n'))
    await rename(`${manifests}.new`, manifests)
  }
  const configure = (more: object = {}): Promise<void> =>
    writeFile(
      config,
      JSON.stringify({
        apiVersion: 'viaduct/v1',
        kind: 'Configuration',
        node: { name: 'node', serviceRanges: ['172.30.0.0/16'] },
        state: { file: state },
        control: { socket },
        log: { level: 'info' },
        ...more,
      }),
    )
  await configure()
  const words = ['run', '-f', manifests, '--config', config]
  const start = async (): Promise<Started> => {
    const running = startCommand(hosts.node.netns, words)
    t.teardown(() => running.process.kill('SIGKILL'))
    await says(running, '"msg":"running"')
    return running
  }
  const asked = (...more: string[]) => runCommand(hosts.node.netns, [...more, '--socket', socket])
  return { hosts, folder, manifests, config, socket, state, words, write, configure, start, asked }
}
