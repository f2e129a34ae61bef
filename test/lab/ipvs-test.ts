import type { Test } from 'tap'
import { kernelTest, type MakeSandbox } from '../kernel/kernel-test.js'
import { uses } from './support/features.js'

/** A test on a kernel with IPVS. Under emulation JavaScript runs some thirty times slower, hence the long limit. */
export function ipvsTest(name: string, work: (t: Test, sandbox: MakeSandbox) => Promise<void>): void {
  kernelTest(name, { needs: { ipvs: true }, timeoutSeconds: 300 }, async (t, sandbox) => {
    await work(t, sandbox)
    uses('ipvs')
  })
}
