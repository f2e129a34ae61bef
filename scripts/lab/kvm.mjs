/**
 * Whether QEMU's guests can use the processor's virtualisation. A /dev/kvm that is there proves nothing: in
 * some virtual machines a guest on it hangs without a word. So it is tried once and remembered.
 */
import { accessSync, constants } from 'node:fs'
import os from 'node:os'
import { cachePath, readRecord, withCacheLock, writeWhole } from './cache.mjs'

/** A guest on a working KVM is up in some two seconds. */
export const kvmBootTimeoutSeconds = 12

const rememberDays = { works: 30, fails: 7 }
const record = cachePath('kvm.json')

/**
 * @param {() => Promise<boolean>} tryIt boots a guest on KVM and tells whether it came up
 * @param {(line: string) => void} say
 * @returns {Promise<'kvm' | 'tcg'>}
 */
export async function chooseAccelerator(tryIt, say) {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK)
  } catch {
    return 'tcg'
  }
  const known = remembered()
  if (known) return known
  return withCacheLock('kvm', async () => {
    const meanwhile = remembered()
    if (meanwhile) return meanwhile
    say(`trying KVM (up to ${kvmBootTimeoutSeconds} s, once)`)
    const accelerator = (await tryIt()) ? 'kvm' : 'tcg'
    rememberAccelerator(accelerator)
    say(
      accelerator === 'kvm'
        ? 'KVM works'
        : 'KVM does not work here: guests are emulated, some ten times slower',
    )
    return accelerator
  })
}

/** @param {'kvm' | 'tcg'} accelerator */
export function rememberAccelerator(accelerator) {
  writeWhole(record, JSON.stringify({ accelerator, host: host(), checked: new Date().toISOString() }))
}

/** @returns {'kvm' | 'tcg' | undefined} */
function remembered() {
  const known = readRecord(record)
  if (known === undefined || known.host !== host()) return undefined
  const days = known.accelerator === 'kvm' ? rememberDays.works : rememberDays.fails
  return Date.now() - Date.parse(known.checked) < days * 86_400_000 ? known.accelerator : undefined
}

function host() {
  return `${os.hostname()} ${os.release()} ${os.cpus()[0]?.model ?? ''}`
}
