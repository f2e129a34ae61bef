/** Guesses the operating system that sent it. */
import { attribute, attributeTable, be32, bits, u8 } from '../../netlink/index.js'
import { register } from '../values.js'

export const osf = attributeTable('NFTA_OSF', {
  destinationRegister: attribute(1, 'NFTA_OSF_DREG', register),
  ttl: attribute(2, 'NFTA_OSF_TTL', u8),
  flags: attribute(3, 'NFTA_OSF_FLAGS', bits(be32, { version: 1 })),
})
