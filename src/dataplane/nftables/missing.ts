/** What this kernel's nf_tables has no part for, by what it says of a rule or a chain. Pure. */
import { isBatchError, isKernelError, UnsupportedError } from '../../errors/index.js'
import type { Inputs } from '../../nftables/index.js'

/** Modules of expressions: what every nf_tables has is none of them (net/netfilter/Makefile). */
const modules: Readonly<Record<string, string>> = {
  ct: 'nft_ct',
  fib: 'nft_fib_inet',
  hash: 'nft_hash',
  masq: 'nft_masq',
  nat: 'nft_nat',
  numgen: 'nft_numgen',
  reject: 'nft_reject_inet',
}

/** By the chain's name. None where that is not what was wrong. */
export function missingIn(error: unknown): Map<string, UnsupportedError> {
  const missing = new Map<string, UnsupportedError>()
  if (!isBatchError(error)) return missing
  for (const { object, error: reason } of error.failures) {
    // What is not registered, and cannot be loaded (nf_tables_expr_parse, nft_chain_parse_hook).
    if (!isKernelError(reason, 'ENOENT')) continue
    const { chain, expressions, name, type } = object as Partial<Inputs['rule'] & Inputs['chain']>
    const path = reason.attribute?.path ?? ''
    const at = /^expressions\[(\d+)\]/.exec(path)?.[1]
    const expression = at === undefined ? undefined : expressions?.[Number(at)]?.name
    if (expression !== undefined && Object.hasOwn(modules, expression)) {
      missing.set(
        chain!,
        unsupported(`the expression ${expression} of nf_tables`, modules[expression]!, reason),
      )
    } else if (path === 'type' && type === 'nat') {
      missing.set(name!, unsupported('a chain of type nat', 'nft_chain_nat', reason))
    }
  }
  return missing
}

function unsupported(feature: string, module: string, cause: Error): UnsupportedError {
  const needs = `the kernel module ${module}: load it (modprobe ${module}), or take a kernel that has it`
  return new UnsupportedError(feature, needs, { cause })
}
