/** `viaduct run` on IPVS: manifests to packets, adopted by the next process, and taken away. */
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Ipvs } from '../../src/index.js'
import { program, start as startProgram } from '../kernel/command.js'
import { ipvsTest } from './ipvs-test.js'
import { balanced, connect, realPort, server } from './support/balanced.js'
import { until } from './support/until.js'
import { clusterAddress } from './support/virtual-services.js'

ipvsTest('a folder becomes services of IPVS', async (t, sandbox) => {
  const { client, director } = (await balanced(sandbox)).hosts
  const folder = await mkdtemp(path.join(tmpdir(), 'viaduct-run-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const manifests = path.join(folder, 'manifests.json')
  const config = path.join(folder, 'config.json')
  const socket = path.join(folder, 'control.sock')
  const write = async (...names: readonly string[]): Promise<void> => {
    const servers = names.map((name) => ({ address: server(name).address, port: realPort }))
    const text = JSON.stringify({ name: 'web', address: clusterAddress, ports: [{ port: 80 }], servers })
    await writeFile(`${manifests}.new`, text)
    await rename(`${manifests}.new`, manifests)
  }
  await writeFile(
    config,
    JSON.stringify({
      apiVersion: 'viaduct/v1',
      kind: 'Configuration',
      dataplane: { kind: 'ipvs', scheduler: 'rr' },
      state: { file: path.join(folder, 'state') },
      control: { socket },
      log: { level: 'info' },
    }),
  )
  const words = ['run', '-f', manifests, '--config', config]
  const begin = (more: readonly string[] = []) =>
    startProgram(process.execPath, [...program(director.netns), ...words, ...more])
  const start = async () => {
    const running = begin()
    t.teardown(() => running.process.kill('SIGKILL'))
    await running.until(({ stderr }) => stderr.includes('"msg":"running"'))
    return running
  }
  const who = async (): Promise<string> => {
    const { server: by, socket: held } = await connect(client, { address: clusterAddress, port: 80 })
    held.destroy()
    return by
  }

  await write('a')
  const running = await start()
  t.equal(await who(), 'a')
  await using ipvs = await Ipvs.open({ netns: director.netns })
  t.match(await ipvs.list(), [{ service: { address: clusterAddress, scheduler: 'rr' } }])
  await write('b')
  await until('the other one has it', async () => (await who()) === 'b')
  running.process.kill('SIGKILL')
  await running.ended
  t.equal(await who(), 'b', 'it outlives the process')
  await write('c')
  const again = await start()
  t.equal(await who(), 'c', 'and is adopted by the next')
  const asked = startProgram(process.execPath, [
    ...program(director.netns),
    ...['explain', `${clusterAddress}:80`, '--socket', socket],
  ])
  t.equal(await asked.ended, 0)
  t.match(asked.lines.join('\n'), /IPVS service tcp .*:80/)
  again.process.kill('SIGTERM')
  t.equal(await again.ended, 0)
  t.equal(await begin(['--teardown']).ended, 0)
  t.same(await ipvs.list(), [])
  t.equal(await director.rtnetlink.links.find('viaduct0'), undefined)
})
