import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Host } from '../../src/testing/index.js'

/** Runs Debian's ipvsadm in a host's namespace, for comparison, and returns what it printed. */
export async function ipvsadm(host: Host, args: readonly string[]): Promise<string> {
  const namespace = `/proc/${process.pid}/fd/${host.netns.fd}`
  const { stdout } = await promisify(execFile)('nsenter', [`--net=${namespace}`, 'ipvsadm', ...args])
  return stdout
}
