/** Checks that leave connection tracking out: rules of a table of our own. */
import { KernelError } from '../errors/index.js'
import { hostIsLittleEndian, type CallOptions } from '../netlink/index.js'
import type { Netns } from '../net/index.js'
import { addRule, meta, Nftables, notrack, raw, type Transaction } from '../nftables/index.js'
import { integer } from './rules.js'

/** Where the rules are. */
export interface WithoutConntrackOptions {
  /** A client to work with, which stays the caller's; one is opened for each call unless given. */
  readonly nftables?: Nftables | undefined
  /** The network namespace that checks go out from; the current one if left out. */
  readonly netns?: Netns | undefined
}

/** Rules that stand until they are taken away. */
export interface WithoutConntrack extends AsyncDisposable {
  /** For `mark` of checks. */
  readonly mark: number
  /** Takes the rules away, and nothing else. It may be done again. */
  close(options?: CallOptions): Promise<void>
}

const comment = 'viaduct: checks that connection tracking leaves out'

/**
 * Packets of sockets with this firewall mark, and what answers them, are not tracked: their checks leave no entries. The rules are
 * a table `viaduct-checks-MARK` (in hexadecimal) of the family inet; one that was left by an earlier process is put in order.
 *
 * Where answers to the checks are to be translated back (through this host's own NAT), tracking is needed.
 * @throws ValidationError if the mark is not from 1 to 2³² − 1; KernelError EEXIST if somebody else has a table of the name,
 *   EPERM without CAP_NET_ADMIN
 */
export async function withoutConntrack(
  mark: number,
  options: WithoutConntrackOptions = {},
): Promise<WithoutConntrack> {
  integer('mark', mark, 1, 0xffff_ffff)
  const name = `viaduct-checks-${mark.toString(16)}`
  await change(name, options, (transaction) => addTable(transaction, name, mark))
  const close = (call?: CallOptions): Promise<void> => change(name, options, undefined, call)
  return { mark, close, [Symbol.asyncDispose]: () => close() }
}

/** Takes our table away, and adds what is to stand instead, in one go. */
async function change(
  name: string,
  { nftables, netns }: WithoutConntrackOptions,
  add: ((transaction: Transaction) => void) | undefined,
  call?: CallOptions,
): Promise<void> {
  const client = nftables ?? (await Nftables.open({ netns }))
  try {
    await client.retrying(async (transaction) => {
      const found = (await client.tables({ family: 'inet' }, call)).find((table) => table.name === name)
      if (found !== undefined && found.comment !== comment) {
        if (add === undefined) return
        const kernelMessage = 'a table of this name is there, and somebody else’s'
        throw new KernelError({
          errno: -17,
          operation: 'withoutConntrack',
          object: { table: name },
          kernelMessage,
        })
      }
      if (found !== undefined) transaction.delete('table', { family: 'inet', name })
      add?.(transaction)
    }, call)
  } finally {
    if (nftables === undefined) client.close()
  }
}

function addTable(transaction: Transaction, name: string, mark: number): void {
  const table = { family: 'inet', table: name } as const
  transaction
    .add('table', { family: 'inet', name, comment })
    .add('chain', { ...table, name: 'out', hook: 'output', priority: 'raw' })
    .add('chain', { ...table, name: 'in', hook: 'prerouting', priority: 'raw' })
  addRule(transaction, { ...table, chain: 'out' }, meta.mark.is(mark), notrack)
  // The mark of the socket that an answer is for.
  const data = new Uint8Array(4)
  new DataView(data.buffer).setUint32(0, mark, hostIsLittleEndian)
  const isOurs = raw(
    { name: 'socket', key: 'mark', destinationRegister: 1 },
    { name: 'cmp', sourceRegister: 1, operation: '==', data },
  )
  addRule(transaction, { ...table, chain: 'in' }, isOurs, notrack)
}
