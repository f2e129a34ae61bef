import { readFileSync } from 'node:fs'

/** In the order of their numbers, from 0. Source: include/uapi/linux/capability.h. */
const names =
  'CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE ' +
  'NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT ' +
  'SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP ' +
  'MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE'
const numbers = new Map(names.split(' ').map((name, number) => [`CAP_${name}`, number]))

/** Whether this process has it, in its own user namespace. */
export function hasCapability(name: string): boolean {
  const number = numbers.get(name)
  if (number === undefined) throw new TypeError(`${name} is no capability that Linux knows`)
  const mask = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]
  return mask !== undefined && ((BigInt(`0x${mask}`) >> BigInt(number)) & 1n) === 1n
}
