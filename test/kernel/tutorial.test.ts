/** docs/guides/tutorial.md is done, step by step, and what each prints is what is shown there. */
import { readFileSync } from 'node:fs'
import { ensurePeers } from './command.js'
import { kernelTest } from './kernel-test.js'
import { Reader, stepsOf } from './support/guide.js'

const chapters = stepsOf(readFileSync('docs/guides/tutorial.md', 'utf8'))

kernelTest('the tutorial', { needs: { nftables: true, conntrack: true }, timeoutSeconds: 120 }, async (t) => {
  await ensurePeers('bind9-dnsutils', 'curl', 'iproute2')
  await using reader = await Reader.begin()
  for (const [heading, steps] of chapters) {
    // test/lab/tutorial.test.ts, on a kernel that has it.
    if (heading === 'The same on IPVS') continue
    await t.test(heading, async (t) => {
      for (const step of steps) await reader.follow(t, step)
    })
  }
})
