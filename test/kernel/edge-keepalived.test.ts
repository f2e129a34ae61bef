/** Our virtual router and keepalived's on one network, each in both roles. */
import t, { type Test } from 'tap'
import type { VrrpOptions } from '../../src/edge/index.js'
import { downInterval, skewTime } from '../../src/edge/vrrp/machine.js'
import type { Host } from '../../src/testing/index.js'
import { kernelTest } from './kernel-test.js'
import { startLeader, until, type Watched } from './support/edge.js'
import { Keepalived, type KeepalivedOptions, lacksKeepalived } from './support/keepalived.js'

const network = { hosts: ['ours', 'theirs', 'client'], links: [['ours', 'theirs', 'client']] } as const
/** What a busy machine may take longer. */
const grace = 200
const intervalCentiseconds = 20

interface Case {
  readonly what: string
  readonly addresses: readonly string[]
  /** Both send to each other instead of to the group. */
  readonly isUnicast?: boolean
}
const cases: readonly Case[] = [
  { what: 'IPv4, by multicast', addresses: ['10.0.1.100/24'] },
  { what: 'IPv4, to peers', addresses: ['10.0.1.100/24', '10.0.1.101/24'], isUnicast: true },
  { what: 'IPv6, by multicast', addresses: ['fe80::100/64', 'fd00:1::100/64'] },
  { what: 'IPv6, to peers', addresses: ['fd00:1::100/64'], isUnicast: true },
]

function settingsOf(t: Test, { addresses, isUnicast }: Case, ours: Host, theirs: Host) {
  const plain = addresses.map((address) => address.split('/')[0]!)
  const own = addresses[0]!.includes(':') ? 'address6' : 'address'
  const folder = t.testdir({})
  return {
    ours: {
      virtualRouterId: 51,
      intervalCentiseconds,
      addresses: plain,
      peers: isUnicast === true ? [theirs[own]] : undefined,
    } satisfies Omit<VrrpOptions, 'device'>,
    theirs: {
      folder,
      virtualRouterId: 51,
      intervalSeconds: intervalCentiseconds / 100,
      addresses,
      words: isUnicast === true ? [`unicast_src_ip ${theirs[own]}`, `unicast_peer {`, ours[own], '}'] : [],
    } satisfies Omit<KeepalivedOptions, 'priority'>,
  }
}

async function hasAddress(host: Host, address: string): Promise<boolean> {
  return (await host.rtnetlink.addresses.list()).some((entry) => entry.address === address)
}

if (lacksKeepalived !== undefined) t.fail(lacksKeepalived)
else {
  for (const one of cases) {
    kernelTest(`keepalived is master and ends: ${one.what}`, { timeoutSeconds: 60 }, async (t, sandbox) => {
      const { ours, theirs } = (await sandbox(network)).hosts
      const settings = settingsOf(t, one, ours, theirs)
      const us = await startLeader(ours, { ...settings.ours, priority: 100 })
      let them = new Keepalived(theirs, { ...settings.theirs, priority: 200 })
      try {
        await until(() => hasAddress(theirs, one.addresses[0]!))
        await until(() => us.leader.status().heard?.priority === 200 && us.leader.status().state === 'backup')
        const before = us.leader.status().received
        await until(() => us.leader.status().received >= before + 3)
        t.notOk(us.leader.isLeader, 'it is heard, and left alone')
        t.equal(us.leader.status().dropped.checksum, undefined)
        // It says that it goes.
        let from = performance.now()
        const stopped = them.stop()
        let took = (await us.until('acquired')) - from
        await stopped
        const atMost = skewTime(100, intervalCentiseconds) + grace
        t.comment(`stopped: ${Math.round(took)} ms of at most ${Math.round(atMost)}`)
        t.ok(took <= atMost, 'taken over at once')
        // It comes back and is the better one.
        them = new Keepalived(theirs, { ...settings.theirs, priority: 200 })
        await us.until('lost')
        await until(() => hasAddress(theirs, one.addresses[0]!))
        // It says nothing any more.
        from = performance.now()
        await them.kill()
        took = (await us.until('acquired')) - from
        const down = downInterval(100, intervalCentiseconds) + grace
        t.comment(`killed: ${Math.round(took)} ms of at most ${Math.round(down)}`)
        t.ok(took <= down, 'taken over within three intervals and the skew')
      } catch (error) {
        t.comment(them.output, us.leader.status())
        throw error
      } finally {
        await us.leader.close()
        await them.kill()
      }
    })

    kernelTest(`keepalived takes over from us: ${one.what}`, { timeoutSeconds: 60 }, async (t, sandbox) => {
      const { ours, theirs } = (await sandbox(network)).hosts
      const settings = settingsOf(t, one, ours, theirs)
      const address = one.addresses[0]!
      const us = await startLeader(ours, { ...settings.ours, priority: 200 })
      await us.until('acquired')
      const them = new Keepalived(theirs, { ...settings.theirs, priority: 100 })
      try {
        await until(() => them.output.includes('Entering BACKUP STATE'))
        const { sent } = us.leader.status()
        await until(() => us.leader.status().sent >= sent + 10)
        t.notOk(await hasAddress(theirs, address), 'it hears us, and stays backup')
        // We say that we go.
        let from = performance.now()
        await us.leader.resign()
        let took = (await until(() => hasAddress(theirs, address))) - from
        const atMost = skewTime(100, intervalCentiseconds) + grace
        t.comment(`resigned: ${Math.round(took)} ms of at most ${Math.round(atMost)}`)
        t.ok(took <= atMost, 'taken over at once')
        // We come back, and are the better one.
        us.leader.compete()
        await us.until('acquired')
        await until(async () => !(await hasAddress(theirs, address)))
        // We fall silent.
        from = performance.now()
        await ours.rtnetlink.links.set('eth0', { up: false })
        took = (await until(() => hasAddress(theirs, address))) - from
        const down = downInterval(100, intervalCentiseconds) + grace
        t.comment(`silent: ${Math.round(took)} ms of at most ${Math.round(down)}`)
        t.ok(took <= down, 'taken over within three intervals and the skew')
        t.notMatch(them.output, /checksum|invalid|mismatch|error/i, 'it had nothing to say against us')
      } catch (error) {
        t.comment(them.output, us.leader.status())
        throw error
      } finally {
        await us.leader.close()
        await them.kill()
      }
    })
  }

  const [byMulticast] = cases
  const address = byMulticast!.addresses[0]!

  kernelTest(
    'the better one stays backup if it is not to pre-empt',
    { timeoutSeconds: 60 },
    async (t, sandbox) => {
      const { ours, theirs } = (await sandbox(network)).hosts
      const settings = settingsOf(t, byMulticast!, ours, theirs)
      let them = new Keepalived(theirs, { ...settings.theirs, priority: 100 })
      let us: Watched | undefined
      try {
        await until(() => hasAddress(theirs, address))
        us = await startLeader(ours, { ...settings.ours, priority: 200, preempt: false })
        // Five intervals are more than it would wait for.
        await until(() => us!.leader.status().received >= 6)
        t.same(us.told, [], 'we let the lesser one be')
        await them.kill()
        await us.until('acquired')

        them = new Keepalived(theirs, { ...settings.theirs, priority: 254, words: ['nopreempt'] })
        await until(() => them.output.includes('Entering BACKUP STATE'))
        const { sent } = us.leader.status()
        await until(() => us!.leader.status().sent >= sent + 6)
        t.ok(us.leader.isLeader, 'and so does it')
        t.notOk(await hasAddress(theirs, address))
        await us.leader.resign()
        await until(() => hasAddress(theirs, address))
      } catch (error) {
        t.comment(them.output, us?.leader.status())
        throw error
      } finally {
        await us?.leader.close()
        await them.kill()
      }
    },
  )

  kernelTest('the better one pre-empts after its delay', { timeoutSeconds: 60 }, async (t, sandbox) => {
    const { ours, theirs } = (await sandbox(network)).hosts
    const settings = settingsOf(t, byMulticast!, ours, theirs)
    const delay = 1000
    /** It goes on hearing the lesser one until the delay is over, and lets what it heard last run out then. */
    const most = delay + 10 * intervalCentiseconds + downInterval(200, intervalCentiseconds)
    let them = new Keepalived(theirs, { ...settings.theirs, priority: 100 })
    let us: Watched | undefined
    try {
      await until(() => hasAddress(theirs, address))
      let from = performance.now()
      us = await startLeader(ours, { ...settings.ours, priority: 200, preemptDelayMilliseconds: delay })
      let took = (await us.until('acquired')) - from
      t.comment(`we: ${Math.round(took)} ms of ${delay} to ${Math.round(most)}`)
      t.ok(took >= delay, 'we wait')
      t.ok(took <= most + grace, 'and no longer')
      await until(async () => !(await hasAddress(theirs, address)))
      await them.kill()

      from = performance.now()
      them = new Keepalived(theirs, { ...settings.theirs, priority: 254, words: ['preempt_delay 1'] })
      await until(() => them.output.includes('Entering BACKUP STATE'))
      const entered = performance.now()
      await us.until('lost')
      took = us.told.at(-1)!.at - from
      t.comment(`keepalived: ${Math.round(took)} ms`)
      t.ok(took >= delay, 'it waits')
      t.ok(us.told.at(-1)!.at - entered <= most + 2 * grace, 'and no longer')
      await until(() => hasAddress(theirs, address))
    } catch (error) {
      t.comment(them.output, us?.leader.status())
      throw error
    } finally {
      await us?.leader.close()
      await them.kill()
    }
  })
}
