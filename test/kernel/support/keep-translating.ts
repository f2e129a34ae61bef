/** Another program of the node that has rules of its own. */
import type { Test } from 'tap'
import { Nftables } from '../../../src/nftables/index.js'
import type { Host } from '../../../src/testing/index.js'

/** Somebody else translates, too: where nobody does, nothing is tracked, and no connection can go on. */
export async function keepTranslating(t: Test, node: Host): Promise<void> {
  const nftables = await Nftables.open({ netns: node.netns })
  t.teardown(() => nftables.close())
  const transaction = nftables.transaction().add('table', { family: 'inet', name: 'other' })
  for (const [hook, priority] of [
    ['prerouting', -99],
    ['postrouting', 101],
  ] as const) {
    transaction.add('chain', { family: 'inet', table: 'other', name: hook, type: 'nat', hook, priority })
    const expressions = [{ name: 'ct', key: 'state', destinationRegister: 8 }] as const
    transaction.add('rule', { family: 'inet', table: 'other', chain: hook, expressions })
  }
  await transaction.commit()
}
