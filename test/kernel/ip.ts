/** What iproute2 says of a host's namespace: another reader of the same kernel. */
import { execFile, execFileSync } from 'node:child_process'
import { promisify } from 'node:util'
import type { Host } from '../../src/testing/index.js'

const run = promisify(execFile)

/** Where it is not installed the kernel is asked by the library alone. */
export const hasIp = (() => {
  try {
    execFileSync('ip', ['-V'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
})()

/** `ip -j -d …`, or undefined where it is not installed. */
export async function ip(
  host: Host,
  ...args: readonly string[]
): Promise<readonly Record<string, unknown>[] | undefined> {
  if (!hasIp) return undefined
  const inside = `--net=/proc/${process.pid}/fd/${host.netns.fd}`
  const { stdout } = await run('nsenter', [inside, 'ip', '-j', '-d', ...args])
  return stdout.trim() === '' ? [] : (JSON.parse(stdout) as Record<string, unknown>[])
}
