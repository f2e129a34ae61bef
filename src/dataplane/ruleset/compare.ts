/** Whether what is in the kernel is what was put there. Pure. */
import { isDeepStrictEqual } from 'node:util'
import type { ChainInput, NftSet, Rule, SetInput } from '../../nftables/index.js'
import type { Expressions } from './words.js'

/** A chain with its rules; a base chain where `hook` is given. */
export interface WantedChain extends Pick<ChainInput, 'name' | 'type' | 'hook' | 'priority'> {
  readonly rules: readonly Expressions[]
}

export function isSet(found: NftSet, wanted: SetInput): boolean {
  const flagsOf = ({ flags = [] }: { readonly flags?: readonly (string | number)[] | undefined }): string =>
    [...flags].sort().join()
  return (
    found.name === wanted.name &&
    found.keyLength === wanted.keyLength &&
    found.dataLength === wanted.dataLength &&
    flagsOf(found) === flagsOf(wanted)
  )
}

/** One by one, in their order. */
export function areRules(found: readonly Rule[], wanted: readonly Expressions[]): boolean {
  return (
    found.length === wanted.length &&
    found.every(({ expressions = [] }, index) => areSame(expressions, wanted[index]!))
  )
}

/** The kernel tells of some expressions more than it needs to be told. */
function areSame(found: readonly object[], wanted: Expressions): boolean {
  return (
    found.length === wanted.length &&
    wanted.every((expression, index) =>
      Object.entries(expression).every(([key, value]) =>
        isDeepStrictEqual((found[index] as Readonly<Record<string, unknown>>)[key], value),
      ),
    )
  )
}
