/**
 * `kernelTest('weight 0 drains', { needs: { ipvs: true } }, async (t, sandbox) => …)`: a test against the running
 * kernel. Sandboxes that it makes are closed at its end; what it leaves open or named fails it. Where the machine lacks
 * what it needs it is skipped with the reason, which CI counts as a failure.
 */
import t, { type Test } from 'tap'
import {
  leaksSince,
  openResources,
  requires,
  type Requirements,
  type Sandbox,
  sandbox,
  type SandboxOptions,
} from '../../src/testing/index.js'

/** `sandbox()`, closed at the end of the test. */
export type MakeSandbox = <const Name extends string>(options: SandboxOptions<Name>) => Promise<Sandbox<Name>>

export interface KernelTestOptions {
  /** Beside the namespaces and links that every sandbox is made of. */
  readonly needs?: Requirements | undefined
  readonly timeoutSeconds?: number | undefined
}

const lab = process.env['VIADUCT_LAB']
/** In the lab's QEMU, where JavaScript takes 30 times as long and modules are loaded at their first use. */
const isEmulated = lab !== undefined && lab !== 'uml'

/** How many to do it with: in an emulated kernel a fiftieth. */
export function many(count: number): number {
  return isEmulated ? count / 50 : count
}

/** Namespaces' names are the whole system's. Tests put their process into them, for others may run at the same time. */
function isOfAnother(leak: string): boolean {
  const owner = /^namespace viaduct-[a-z]+-(\d+)/.exec(leak)?.[1]
  return owner !== undefined && owner !== String(process.pid)
}

export function kernelTest(
  name: string,
  options: KernelTestOptions,
  work: (t: Test, sandbox: MakeSandbox) => Promise<void>,
): void {
  const { needs, timeoutSeconds = isEmulated ? 240 : 30 } = options
  const reason = requires({ sandbox: true, ...needs })
  void t.test(name, { skip: reason ?? false, timeout: timeoutSeconds * 1000 }, async (t) => {
    const before = openResources()
    const made: Sandbox[] = []
    try {
      await work(t, async (layout) => {
        const net = await sandbox(layout)
        made.push(net)
        return net
      })
    } finally {
      for (const net of made.reverse()) await net.close()
    }
    const leaks = (await leaksSince(before)).filter((leak) => !isOfAnother(leak))
    if (leaks.length > 0) t.fail(`left open: ${leaks.join(', ')}`)
  })
}
