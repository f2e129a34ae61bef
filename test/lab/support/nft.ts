import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Host } from '../../../src/testing/index.js'

/** Runs a script of Debian's `nft` in a host's namespace, and returns what it lists. */
export async function nft(host: Host, script: string): Promise<string> {
  const namespace = `/proc/${process.pid}/fd/${host.netns.fd}`
  const child = spawn('nsenter', [`--net=${namespace}`, 'nft', '-f', '-'], {
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (piece) => (stdout += String(piece)))
  child.stderr.on('data', (piece) => (stderr += String(piece)))
  child.stdin.end(script)
  const [status] = (await once(child, 'close')) as [number]
  if (status !== 0) throw new Error(`nft: ${stderr}`)
  return stdout
}
