/** What becomes of a packet, in words. */
import type { Verdict } from '../kinds.js'

export function verdictText({ code, chain, chainId }: Verdict): string {
  return code === 'jump' || code === 'goto' ? `${code} ${chain ?? `#${chainId ?? 0}`}` : (code ?? 'unknown')
}
