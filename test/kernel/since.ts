/** Features that some kernels are too old for: used where they are, and where they are not it is said what they need. */
import { release } from 'node:os'
import type { Test } from 'tap'
import { isBatchError, isKernelError, isUnsupportedError } from '../../src/errors/index.js'
import { isOlder } from '../../src/netlink/newer.js'
import { uses } from '../lab/support/features.js'

export const isLab = process.env['VIADUCT_LAB'] !== undefined

/** Whether the kernel says that it lacks the module, which it does in two ways. */
export function isLacking(error: unknown): boolean {
  const all = isBatchError(error) ? error.failures.map(({ error }) => error) : [error]
  return all.some((one) => isKernelError(one, 'ENOENT') || isKernelError(one, 'EOPNOTSUPP'))
}

/**
 * Does `work`, which uses what is in the table feature × kernel under `feature` and in Linux since `first`. An older
 * kernel must refuse it, as unsupported; one that is not of the lab may lack the module. Tells whether it was done.
 */
export async function since(
  t: Test,
  feature: string,
  first: string,
  work: () => Promise<unknown>,
): Promise<boolean> {
  const isOld = isOlder(release(), first)
  try {
    await work()
  } catch (error) {
    if (!isLab && !isOld && isLacking(error)) {
      t.pass(`${feature}: ${release()} lacks the module`)
      return false
    }
    if (!isOld || !isUnsupportedError(error)) throw error
    t.match(error, { needs: `Linux ≥ ${first}` }, `${feature}: ${error.message}`)
    return false
  }
  // A distribution may have brought it to an older one: not to those of the lab, which the table tells of.
  if (isOld && isLab) t.fail(`${feature} is done by ${release()}`)
  else uses(feature)
  return true
}
