/** Guesses the operating system that sent it. */
import { attribute, attributeTable, be32, bits, omitting, u8 } from '../../netlink/index.js'
import { register } from '../values.js'

export const osf = attributeTable(
  'NFTA_OSF',
  {
    destinationRegister: attribute(1, 'NFTA_OSF_DREG', register),
    ttl: attribute(2, 'NFTA_OSF_TTL', u8),
    /** Without any, the kernel takes no attribute (nft_osf_init). */
    flags: attribute(
      3,
      'NFTA_OSF_FLAGS',
      omitting(bits(be32, { version: 1 }), ({ length }) => length === 0),
    ),
  },
  { since: '4.19' },
)
