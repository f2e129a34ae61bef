/** Connections that directors tell each other, so that those of one that fails go on through another. */
import { isKernelError } from '../errors/index.js'
import type { Daemon, DaemonInput, Ipvs } from './client.js'
import type { SettingsInput } from './settings.js'

/** On what network connections are told, and how. The same on all directors. */
export interface ConnectionSyncOptions extends Omit<DaemonInput, 'state'> {
  /** Seconds after which a connection that goes on is told again; 10 unless said. A director that starts knows all after so long. */
  readonly refreshSeconds?: number | undefined
}

/** Two daemons that run. */
export interface ConnectionSync {
  /** Stops both, and sets the settings back. The Ipvs stays open. */
  close(): Promise<void>
  /** The same, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>
}

/** A backup first: what another one tells is not to be missed. */
const states = ['backup', 'master'] as const

/**
 * Runs the kernel's sync daemon as master and as backup: this director tells what connections it has, and takes in those of the
 * others, whichever of them clients reach. Each connection is told when it is established, and again every `refreshSeconds` as long as
 * packets come. (The kernel's own settings tell it with its third packet and then with every 50th, so that a quiet one runs out on
 * the others.) The kernel gathers what it tells for up to two seconds and looks once a second (IPVS_SYNC_FLUSH_TIME and
 * IPVS_SYNC_CHECK_PERIOD, ip_vs_sync.c): a connection that is younger than three seconds may not be known yet.
 *
 * Daemons that run with just these options, left by a process that was killed, are gone on with. While they run mixed families
 * (a service of IPv4 with servers of IPv6) are refused by the kernel.
 *
 * @throws KernelError EEXIST if a daemon runs with other options, ENODEV; UnsupportedError; ValidationError
 */
export async function syncConnections(
  ipvs: Ipvs,
  { refreshSeconds = 10, ...daemon }: ConnectionSyncOptions,
): Promise<ConnectionSync> {
  const settings = {
    // Whatever the count of its packets is.
    syncThreshold: { threshold: 0, period: 0 },
    syncRefreshPeriodSeconds: refreshSeconds,
    // A director that runs a backup daemon would forward nothing at all.
    backupOnly: false,
  } satisfies SettingsInput
  const { syncThreshold, syncRefreshPeriodSeconds, backupOnly } = await ipvs.settings.read()
  const before: SettingsInput = { syncThreshold, syncRefreshPeriodSeconds, backupOnly }
  let closed: Promise<void> | undefined
  const close = async (): Promise<void> => {
    for (const state of states) await stop(ipvs, state)
    await ipvs.settings.set(before)
  }
  const running = await ipvs.daemons()
  const missing = states
    .map((state) => ({ ...daemon, state, syncId: daemon.syncId ?? 0 }))
    .filter((wanted) => !running.some((one) => isAs(one, wanted)))
  const started: DaemonInput['state'][] = []
  try {
    await ipvs.settings.set(settings)
    for (const wanted of missing) {
      await ipvs.startDaemon(wanted)
      started.push(wanted.state)
    }
  } catch (error) {
    for (const state of started) await stop(ipvs, state)
    await ipvs.settings.set(before)
    throw error
  }
  const closeOnce = (): Promise<void> => (closed ??= close())
  return { close: closeOnce, [Symbol.asyncDispose]: closeOnce }
}

/** In everything that is asked for. */
function isAs(running: Daemon, wanted: DaemonInput): boolean {
  return Object.entries(wanted).every(
    ([key, value]) => value === undefined || running[key as keyof Daemon] === value,
  )
}

async function stop(ipvs: Ipvs, state: DaemonInput['state']): Promise<void> {
  try {
    await ipvs.stopDaemon(state)
  } catch (error) {
    // Somebody else has stopped it.
    if (!isKernelError(error, 'ESRCH') && !isKernelError(error, 'ENOENT')) throw error
  }
}
