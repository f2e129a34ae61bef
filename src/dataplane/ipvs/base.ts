/** What is there before any service is: the interface, the settings of the namespace, the table. */
import { type Netns, readSysctl, writeSysctl } from '../../net/index.js'
import { addLearner } from './affinity.js'
import { addEntries } from './execute.js'
import { bringUp, makeInterface, record } from './interface.js'
import type { Item } from './items.js'
import { addTable } from './layout.js'
import type { Clients, Found } from './reading.js'
import type { Settings } from './settings.js'
import { type SysctlChange, sysctlChanges } from './sysctls.js'

export interface BaseStep {
  /** As a plan prints it. */
  readonly line: string
  readonly run: () => Promise<void>
}

/** What of it has to be made. In this order: settings are written down before they are changed. */
export function baseSteps(clients: Clients, settings: Settings, found: Found): BaseStep[] {
  const { rtnetlink, nftables } = clients
  const { device, netns, name: table } = settings
  const steps: BaseStep[] = []
  const { isThere, isUp, before } = found.interface
  if (!isThere) steps.push({ line: `link add ${device} dummy`, run: () => makeInterface(rtnetlink, device) })
  const changing = sysctlChanges((name) => readSysctl(name, { netns }))
  // Of one that somebody has set back meanwhile the first value is the one to restore.
  const all = { ...Object.fromEntries(changing.map(({ name, before }) => [name, before])), ...before }
  if (!isThere || Object.keys(all).length > Object.keys(before).length) {
    steps.push({ line: `link set ${device} alias`, run: () => record(rtnetlink, device, all) })
  }
  if (!isUp) steps.push({ line: `link set ${device} up`, run: () => bringUp(rtnetlink, device) })
  steps.push(...sysctlSteps(changing, netns))
  if (nftables !== undefined && !found.isAsMade) {
    steps.push({
      line: `nft ${found.comment === undefined ? 'add' : 'replace'} table inet ${table}`,
      run: async () => {
        const transaction = nftables.transaction()
        if (found.comment !== undefined) transaction.delete('table', { family: 'inet', name: table })
        addTable(transaction, settings)
        // All in one transaction: what is claimed stays claimed, and no packet comes by without its rules.
        for (const { seconds } of itemsOf(found, 'learner')) addLearner(transaction, table, seconds)
        addEntries(transaction, table, itemsOf(found, 'entry'))
        await transaction.commit()
      },
    })
  }
  return steps
}

function sysctlSteps(changing: readonly SysctlChange[], netns: Netns | undefined): BaseStep[] {
  return changing.map(({ name, after }) => ({
    line: `sysctl ${name}=${after}`,
    // eslint-disable-next-line @typescript-eslint/require-await -- a step may take time, and this one does not
    run: async () => writeSysctl(name, after, { netns }),
  }))
}

function itemsOf<K extends Item['kind']>({ items }: Found, kind: K): Extract<Item, { readonly kind: K }>[] {
  return [...items.values()].filter((item): item is Extract<Item, { readonly kind: K }> => item.kind === kind)
}
