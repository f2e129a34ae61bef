/** What the kernel knows of the packet beside its bytes. */
import { attribute, attributeTable, be32, named } from '../../netlink/index.js'
import { register } from '../values.js'

/** `enum nft_meta_keys`, by the names that nft has for them. */
const metaKey = named(
  be32,
  {
    len: 0,
    protocol: 1,
    priority: 2,
    mark: 3,
    iif: 4,
    oif: 5,
    iifname: 6,
    oifname: 7,
    iiftype: 8,
    oiftype: 9,
    skuid: 10,
    skgid: 11,
    nftrace: 12,
    rtclassid: 13,
    secmark: 14,
    nfproto: 15,
    l4proto: 16,
    ibrname: 17,
    obrname: 18,
    pkttype: 19,
    cpu: 20,
    iifgroup: 21,
    oifgroup: 22,
    cgroup: 23,
    random: 24,
    ipsec: 25,
    iifkind: 26,
    oifkind: 27,
    ibrpvid: 28,
    ibrvproto: 29,
    time: 30,
    day: 31,
    hour: 32,
    sdif: 33,
    sdifname: 34,
    broute: 35,
    ibrhwaddr: 37,
  },
  { time: '5.4', day: '5.4', hour: '5.4', broute: '6.4', ibrhwaddr: '6.18' },
)

export const meta = attributeTable('NFTA_META', {
  destinationRegister: attribute(1, 'NFTA_META_DREG', register),
  key: attribute(2, 'NFTA_META_KEY', metaKey),
  /** To set it. */
  sourceRegister: attribute(3, 'NFTA_META_SREG', register),
})
