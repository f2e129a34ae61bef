import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Host } from '../../../src/testing/index.js'

/** Runs a script of Debian's `nft` in a host's namespace. */
export async function nft(host: Host, script: string): Promise<void> {
  const namespace = `/proc/${process.pid}/fd/${host.netns.fd}`
  const child = spawn('nsenter', [`--net=${namespace}`, 'nft', '-f', '-'], {
    stdio: ['pipe', 'inherit', 'pipe'],
  })
  let stderr = ''
  child.stderr.on('data', (piece) => (stderr += String(piece)))
  child.stdin.end(script)
  const [status] = (await once(child, 'close')) as [number]
  if (status !== 0) throw new Error(`nft: ${stderr}`)
}
