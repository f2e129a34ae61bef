/** Opens nf_tables, where this kernel has what both dataplanes need of it. */
import { isBatchError, isKernelError, UnsupportedError } from '../../errors/index.js'
import { Nftables, type NftablesOptions } from '../../nftables/index.js'

/**
 * @param table  A name that ours may have.
 * @throws UnsupportedError if the kernel has no nf_tables, or no tables of family inet; KernelError
 */
export async function openNftables(options: NftablesOptions, table: string): Promise<Nftables> {
  const nftables = await openSocket(options)
  try {
    await checkFamily(nftables, table)
    return nftables
  } catch (error) {
    nftables.close()
    throw error
  }
}

async function openSocket(options: NftablesOptions): Promise<Nftables> {
  try {
    return await Nftables.open(options)
  } catch (error) {
    // A subsystem of netfilter that nobody has registered (nfnetlink_rcv_msg), or no netfilter at all.
    if (!['EINVAL', 'EOPNOTSUPP', 'EPROTONOSUPPORT'].some((code) => isKernelError(error, code))) throw error
    throw new UnsupportedError('nf_tables', 'the kernel module nf_tables (CONFIG_NF_TABLES)', {
      cause: error,
    })
  }
}

/** Tables of family inet are a part of the kernel of their own (CONFIG_NF_TABLES_INET), which is loaded by this. */
async function checkFamily(nftables: Nftables, name: string): Promise<void> {
  const family = 'inet'
  if ((await nftables.tables({ family })).length > 0) return
  try {
    // Nothing is changed by it.
    await nftables.transaction().add('table', { family, name }).check()
  } catch (error) {
    const failures: readonly { readonly error: Error }[] = isBatchError(error)
      ? error.failures
      : [{ error: error as Error }]
    if (!failures.some((failure) => lacking.some((code) => isKernelError(failure.error, code)))) throw error
    throw new UnsupportedError('nf_tables of family inet', 'CONFIG_NF_TABLES_INET', { cause: error })
  }
}
const lacking = ['EAFNOSUPPORT', 'EOPNOTSUPP', 'ENOENT'] as const
