import type { Host } from '../../../src/testing/index.js'
import { nft } from './nft.js'

/** Has a host give firewall marks to what comes in for these addresses or prefixes, by nftables. */
export async function markIncoming(host: Host, marks: ReadonlyMap<string, number>): Promise<void> {
  const elements = (version: string, isOf: (address: string) => boolean): string => {
    const all = [...marks]
      .filter(([address]) => isOf(address))
      .map(([address, mark]) => `${address} : ${mark}`)
    return all.length === 0
      ? ''
      : `map ${version} { type ${version} : mark; flags interval; elements = { ${all.join(', ')} }; }`
  }
  const isIpv6 = (address: string): boolean => address.includes(':')
  const ipv4 = elements('ipv4_addr', (address) => !isIpv6(address))
  const ipv6 = elements('ipv6_addr', isIpv6)
  await nft(
    host,
    `table inet marks {
      ${ipv4}
      ${ipv6}
      chain incoming {
        type filter hook prerouting priority mangle
        ${ipv4 && 'meta mark set ip daddr map @ipv4_addr'}
        ${ipv6 && 'meta mark set ip6 daddr map @ipv6_addr'}
      }
    }`,
  )
}
