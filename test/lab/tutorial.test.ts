/** The last part of docs/guides/tutorial.md, on a kernel that has IPVS. */
import { readFileSync } from 'node:fs'
import { Reader, stepsOf } from '../kernel/support/guide.js'
import { ipvsTest } from './ipvs-test.js'

ipvsTest('the tutorial on IPVS', async (t) => {
  const steps = stepsOf(readFileSync('docs/guides/tutorial.md', 'utf8')).get('The same on IPVS')!
  await using reader = await Reader.begin()
  await reader.follow(t, steps)
})
