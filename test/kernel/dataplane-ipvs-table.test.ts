/** The table beside IPVS, which takes no IPVS to be looked at: whatever somebody else did to it is noticed. */
import t, { type Test } from 'tap'
import { addLearner, learnerChain } from '../../src/dataplane/ipvs/affinity.js'
import { addTable, chainsOf } from '../../src/dataplane/ipvs/layout.js'
import { settingsOf } from '../../src/dataplane/ipvs/settings.js'
import { isTableAsMade } from '../../src/dataplane/ipvs/table.js'
import { NetworkNamespace } from '../../src/net/index.js'
import { Nftables, type Transaction } from '../../src/nftables/index.js'

const node = {
  addresses: ['10.9.0.1', 'fd09::1'],
  clusterRanges: ['10.1.0.0/16', 'fd00:1::/32'],
  serviceRanges: ['172.30.0.0/16', '0.0.0.0/1', 'fd30::/64'],
}
const settings = settingsOf({ node }, [])
const place = { family: 'inet', table: settings.name } as const
const drop = { name: 'immediate', destinationRegister: 0, data: { code: 'drop' } } as const
const seconds = [1, 10_800]

async function table(t: Test): Promise<Nftables> {
  const netns = NetworkNamespace.create()
  const nftables = await Nftables.open({ netns })
  t.teardown(() => {
    nftables.close()
    netns.close()
  })
  return nftables
}

void t.test(
  'a table is as it was made until somebody else has been there',
  { timeout: 60_000 },
  async (t) => {
    const nftables = await table(t)
    t.equal(await isTableAsMade(nftables, settings, []), false, 'none is there')
    const others: Record<string, (transaction: Transaction) => unknown> = {
      'a chain of somebody': (one) => one.add('chain', { ...place, name: 'theirs' }),
      'a learner that nothing leads to': (one) => one.add('chain', { ...place, name: learnerChain(7) }),
      'a learner without its rules': (one) => one.flush('chain', { ...place, name: learnerChain(1) }),
      'a range more': (one) =>
        one.add('elements', {
          ...place,
          set: 'cluster-ranges4',
          elements: [
            { key: Uint8Array.of(11, 0, 0, 0) },
            { key: Uint8Array.of(12, 0, 0, 0), flags: ['interval-end'] },
          ],
        }),
      'no ranges': (one) => one.flush('set', { ...place, name: 'service-ranges6' }),
    }
    for (const { name, hook } of chainsOf(settings)) {
      others[`${name} has one rule more`] = (one) =>
        one.add('rule', { ...place, chain: name, expressions: [drop] })
      others[`${name} is emptied`] = (one) => one.flush('chain', { ...place, name })
      if (hook === undefined) continue
      others[`${name} is gone`] = (one) =>
        one.flush('chain', { ...place, name }).delete('chain', { ...place, name })
    }
    for (const [what, change] of Object.entries(others)) {
      const made = nftables.transaction()
      addTable(made, settings)
      for (const one of seconds) addLearner(made, settings.name, one)
      await made.commit()
      t.equal(await isTableAsMade(nftables, settings, seconds), true, 'as made')
      const transaction = nftables.transaction()
      change(transaction)
      await transaction.commit()
      t.equal(await isTableAsMade(nftables, settings, seconds), false, what)
      await nftables.transaction().delete('table', { family: 'inet', name: settings.name }).commit()
    }
  },
)
