/** `net.ipv4.ip_forward` as a file. */
export function sysctlPath(name: string): string {
  return `/proc/sys/${name.replaceAll('.', '/')}`
}
