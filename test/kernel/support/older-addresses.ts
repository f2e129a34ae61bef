/** Addresses as kernels before 5.18 show them, which keep no number of who has put them there (IFA_PROTO). */
import type { Host } from '../../../src/testing/index.js'

/** Puts those that bear such a number there again without it; what else they bear stays. */
export async function forgetOwners({ rtnetlink }: Host, device: string): Promise<void> {
  for (const entry of await rtnetlink.addresses.list({ device })) {
    const { address, family, label, metric, flags, scope, protocol } = entry
    // 1 to 3 are the kernel's own.
    if (protocol === undefined || protocol < 4) continue
    await rtnetlink.addresses.delete({ device, address })
    await rtnetlink.addresses.add({
      device,
      address,
      scope,
      metric,
      label: family === 'ipv4' ? label : undefined,
      flags: flags.filter((flag) => flag === 'no-dad'),
    })
  }
}
