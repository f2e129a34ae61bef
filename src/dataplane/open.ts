/** Opens the dataplane that is asked for, or the one that this kernel can have. */
import { isKernelError, isUnsupportedError, UnsupportedError, ValidationError } from '../errors/index.js'
import type { Dataplane, DataplaneKind, DataplaneOptions } from './dataplane.js'
import { openIpvsDataplane } from './ipvs/index.js'
import { openNftablesDataplane } from './nftables/dataplane.js'

/** Which dataplane, and where. */
export interface OpenOptions extends DataplaneOptions {
  /** `auto` takes nftables if the kernel has it, else IPVS, and says why in `chosenBecause`; it is the default. */
  readonly kind?: DataplaneKind | 'auto' | undefined
}

/**
 * Nothing is changed by it: that begins with `synchronize`.
 * @throws UnsupportedError if the kernel does not have it; KernelError EPERM without CAP_NET_ADMIN; ValidationError
 */
export async function openDataplane({ kind = 'auto', ...options }: OpenOptions = {}): Promise<Dataplane> {
  if (kind === 'nftables') return await openNftablesDataplane(options)
  if (kind === 'ipvs') return await openIpvsDataplane(options)
  if (kind !== 'auto') throw new ValidationError('kind', kind, 'nftables, ipvs or auto')
  let refusal: Error
  try {
    return chosen(
      await openNftablesDataplane(options),
      'the kernel has nf_tables, with tables of family inet',
    )
  } catch (error) {
    // Whoever may do nothing here may not use the other one either.
    if (isKernelError(error, 'EPERM') || (!isKernelError(error) && !isUnsupportedError(error))) throw error
    refusal = error
  }
  try {
    return chosen(await openIpvsDataplane(options), `nf_tables cannot be used here: ${refusal.message}`)
  } catch (error) {
    if (!isUnsupportedError(error)) throw error
    throw new UnsupportedError('a dataplane', `nf_tables (${refusal.message}) or IPVS (${error.message})`, {
      cause: error,
    })
  }
}

function chosen(dataplane: Dataplane, chosenBecause: string): Dataplane {
  return Object.assign(dataplane, { chosenBecause })
}
