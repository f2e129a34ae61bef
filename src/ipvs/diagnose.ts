/** What is there for IPVS and what is missing, and what to do about it. */
import type { Netns } from '../net/index.js'
import type { CallOptions } from '../netlink/index.js'
import type { Diagnosis } from './diagnosis.js'

export type { Diagnosis, Finding, Level } from './diagnosis.js'
export type { ModuleState } from './modules.js'

export interface DiagnoseOptions extends CallOptions {
  /** The network namespace; the current one if left out. */
  readonly netns?: Netns | undefined
  /**
   * Asks IPVS for its version, as opening an Ipvs does, on which a modular kernel loads `ip_vs`. True unless said;
   * false changes nothing anywhere.
   */
  readonly ask?: boolean | undefined
}

/**
 * Looks at the kernel's modules, at the privileges of this process and at the namespace. Starts no program, needs no
 * privilege, and throws for nothing that is missing: that is in the findings.
 */
export async function diagnose(options: DiagnoseOptions = {}): Promise<Diagnosis> {
  // Loaded when they are needed: most programs never ask.
  const [{ gatherFacts }, { judge }] = await Promise.all([import('./facts.js'), import('./diagnosis.js')])
  return judge(await gatherFacts(options))
}
