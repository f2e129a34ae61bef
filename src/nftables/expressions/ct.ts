/** What connection tracking knows of the flow. */
import { attribute, attributeTable, be32, named, u8 } from '../../netlink/index.js'
import { register } from '../values.js'

/** `enum nft_ct_keys`. */
const ctKey = named(be32, {
  state: 0,
  direction: 1,
  status: 2,
  mark: 3,
  secmark: 4,
  expiration: 5,
  helper: 6,
  l3proto: 7,
  src: 8,
  dst: 9,
  protocol: 10,
  'proto-src': 11,
  'proto-dst': 12,
  label: 13,
  packets: 14,
  bytes: 15,
  avgpkt: 16,
  zone: 17,
  event: 18,
  'src-ip': 19,
  'dst-ip': 20,
  'src-ip6': 21,
  'dst-ip6': 22,
  id: 23,
})

export const ct = attributeTable('NFTA_CT', {
  destinationRegister: attribute(1, 'NFTA_CT_DREG', register),
  key: attribute(2, 'NFTA_CT_KEY', ctKey),
  direction: attribute(3, 'NFTA_CT_DIRECTION', named(u8, { original: 0, reply: 1 })),
  /** To set it. */
  sourceRegister: attribute(4, 'NFTA_CT_SREG', register),
})
