/** Opens the dataplane that is asked for, or the one that this kernel can have. */
import { ValidationError } from '../errors/index.js'
import type { Dataplane, DataplaneKind, DataplaneOptions } from './dataplane.js'
import { openNftablesDataplane } from './nftables/dataplane.js'

/** Which dataplane, and where. */
export interface OpenOptions extends DataplaneOptions {
  /** `auto` takes nftables if the kernel has it, else IPVS, and says why in `chosenBecause`; it is the default. */
  readonly kind?: DataplaneKind | 'auto' | undefined
}

/** @throws KernelError or UnsupportedError if the kernel does not have it */
export async function openDataplane({ kind = 'auto', ...options }: OpenOptions = {}): Promise<Dataplane> {
  if (kind !== 'nftables' && kind !== 'auto') {
    throw new ValidationError('kind', kind, 'nftables or auto')
  }
  return await openNftablesDataplane(options)
}
