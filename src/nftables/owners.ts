/** Who owns a table: the kernel tells the port of a netlink socket, and /proc whose that is. */
import { type Netns, readFile } from '../net/index.js'
import { processesOf } from '../processes.js'
import { NETLINK_NETFILTER } from '../netlink/index.js'

/** `process 812 (firewalld)`, or the port alone where the process is not to be seen from here. */
export async function describeOwner(port: number, netns: Netns | undefined): Promise<string> {
  const unknown = `the socket of netlink port ${port}`
  try {
    const inode = inodeOf(readFile('/proc/net/netlink', { netns }), port)
    const [process] = (await processesOf(new Set(inode === undefined ? [] : [inode]))).get(inode ?? 0) ?? []
    return process === undefined ? unknown : `process ${process.pid} (${process.name})`
  } catch {
    // The namespace may be closed, or /proc be another's: the error that this is for counts more.
    return unknown
  }
}

/** `sk Eth Pid Groups … Inode` (netlink_native_seq_show): what is called Pid is the port. */
export function inodeOf(text: string, port: number): number | undefined {
  for (const line of text.split('\n')) {
    const fields = line.trim().split(/\s+/)
    const inode = Number(fields.at(-1))
    if (Number(fields[1]) === NETLINK_NETFILTER && Number(fields[2]) === port && inode > 0) return inode
  }
  return undefined
}
