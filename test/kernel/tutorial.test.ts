/** What the tutorial and the first pages show is done, step by step, and what each step prints is what is shown there. */
import { readFileSync } from 'node:fs'
import { ensurePeers } from './command.js'
import { kernelTest } from './kernel-test.js'
import { Reader, stepsOf } from './support/guide.js'

const options = { needs: { nftables: true, conntrack: true }, timeoutSeconds: 120 }

kernelTest('the tutorial', options, async (t) => {
  await ensurePeers('bind9-dnsutils', 'curl', 'iproute2')
  await using reader = await Reader.begin()
  for (const [heading, steps] of stepsOf(readFileSync('docs/guides/tutorial.md', 'utf8'))) {
    // test/lab/tutorial.test.ts, on a kernel that has it.
    if (heading === 'The same on IPVS') continue
    await t.test(heading, (t) => reader.follow(t, steps))
    if (!t.passing()) break
  }
})

for (const page of ['README.md', 'docs/guides/getting-started.md']) {
  kernelTest(`five minutes with ${page}`, options, async (t) => {
    await ensurePeers('bind9-dnsutils', 'curl')
    await using reader = await Reader.begin()
    await reader.follow(t, stepsOf(readFileSync(page, 'utf8')).get('Five minutes')!)
  })
}
