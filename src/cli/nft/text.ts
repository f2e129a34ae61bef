/** Objects of nf_tables as text: nft's syntax. */
import {
  type KindName,
  type Outputs,
  type PrintOptions,
  printScript,
  type Verb,
} from '../../nftables/index.js'

/** What was done, as nft would be told to do it: empty for sets without a name, which their rule has in it. */
export function changeText<K extends KindName>(
  verb: Extract<Verb, 'add' | 'delete'>,
  kind: K,
  object: Outputs[K],
  options: PrintOptions,
): string {
  const operation = { verb, kind, object } as Parameters<typeof printScript>[0]['operations'][number]
  return printScript({ operations: [operation] }, options).trimEnd()
}
