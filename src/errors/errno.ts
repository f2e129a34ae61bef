import { getSystemErrorMap } from 'node:util'

/**
 * Error numbers that the kernel answers over netlink and that Node's table does not hold (it knows those of libuv).
 * Source: include/uapi/asm-generic/errno.h.
 */
const beyondLibuv: readonly (readonly [number, string, string])[] = [
  [42, 'ENOMSG', 'no message of desired type'],
  [52, 'EBADE', 'invalid exchange'],
  [62, 'ETIME', 'timer expired'],
  [72, 'EMULTIHOP', 'multihop attempted'],
  [76, 'ENOTUNIQ', 'name not unique on network'],
  [77, 'EBADFD', 'file descriptor in bad state'],
  [85, 'ERESTART', 'interrupted, should be restarted'],
  [87, 'EUSERS', 'too many users'],
  [93, 'EPROTONOSUPPORT', 'protocol not supported'],
  [94, 'ESOCKTNOSUPPORT', 'socket type not supported'],
  [95, 'EOPNOTSUPP', 'operation not supported'],
  [96, 'EPFNOSUPPORT', 'protocol family not supported'],
  [116, 'ESTALE', 'stale handle'],
  [123, 'ENOMEDIUM', 'no medium found'],
]

const known = new Map<number, readonly [string, string]>(
  beyondLibuv.map(([errno, code, words]) => [errno, [code, words]]),
)
for (const [errno, [code, words]] of getSystemErrorMap()) {
  // libuv has names of its own above 4000 (UV_EOF …): those are no kernel errors.
  if (errno > -4000 && !known.has(-errno)) known.set(-errno, [code, words])
}
// libuv calls 95 ENOTSUP; the kernel's name for what it sends is EOPNOTSUPP.

/** `ENOENT` for 2 or -2; `E1234` for one that nobody knows. */
export function errnoCode(errno: number): string {
  return known.get(Math.abs(errno))?.[0] ?? `E${Math.abs(errno)}`
}

/** "no such file or directory" for 2 or -2. */
export function errnoText(errno: number): string {
  return known.get(Math.abs(errno))?.[1] ?? 'unknown error'
}
