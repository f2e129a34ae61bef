import { isKernelError, UnsupportedError } from '../errors/index.js'

/** A file of IPVS that is not there says that IPVS is not; any other error, a namespace that is gone among them, stays. */
export function absent(feature: string, error: unknown): unknown {
  if (!isKernelError(error, 'ENOENT') || error.operation !== 'file.open') return error
  return new UnsupportedError(
    feature,
    'the kernel module ip_vs (CONFIG_IP_VS): open an Ipvs first, which loads it, or run `modprobe ip_vs` on the host; `viaduct doctor` tells more',
    { cause: error },
  )
}
