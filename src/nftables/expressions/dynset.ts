/** Adds, updates or deletes an element while packets pass. */
import {
  attribute,
  attributeTable,
  be32,
  be64AsNumber,
  bits,
  named,
  omitting,
  pad,
} from '../../netlink/index.js'
import { name, register } from '../values.js'
import { expression, expressions } from './circle.js'

const sentFlags = bits(be32, { inverted: 1, expression: 2 })
/** Several expressions are taken with a flag only that the kernel does not tell (nft_dynset_init, nft_dynset_dump). */
const flags: typeof sentFlags = {
  ...sentFlags,
  deferred: true,
  read(bytes, view, offset, length, record) {
    const told = sentFlags.read(bytes, view, offset, length, record)
    const isSeveral = (record as { readonly expressions?: unknown }).expressions !== undefined
    if (!isSeveral || told.includes('expression')) return told
    // In the order in which flags are read: those without a name come last.
    const named = told.filter((flag) => flag === 'inverted')
    return [...named, 'expression', ...told.filter((flag) => flag !== 'inverted')]
  },
}

export const dynset = attributeTable('NFTA_DYNSET', {
  set: attribute(1, 'NFTA_DYNSET_SET_NAME', name),
  /** Of a set of the same transaction. */
  setId: attribute(2, 'NFTA_DYNSET_SET_ID', be32),
  operation: attribute(3, 'NFTA_DYNSET_OP', named(be32, { add: 0, update: 1, delete: 2 }, { delete: '5.4' })),
  keyRegister: attribute(4, 'NFTA_DYNSET_SREG_KEY', register),
  dataRegister: attribute(5, 'NFTA_DYNSET_SREG_DATA', register),
  /** 0: none. A set without timeouts takes no attribute for it (nft_dynset_init). */
  timeoutMilliseconds: attribute(
    6,
    'NFTA_DYNSET_TIMEOUT',
    omitting(be64AsNumber, (milliseconds) => milliseconds === 0),
  ),
  /** What each element carries; where it is one. */
  expression: attribute(7, 'NFTA_DYNSET_EXPR', expression),
  padding: attribute(8, 'NFTA_DYNSET_PAD', pad),
  flags: attribute(9, 'NFTA_DYNSET_FLAGS', flags),
  /** Several: with the flag `expression`. */
  expressions: attribute(10, 'NFTA_DYNSET_EXPRESSIONS', expressions, { since: '5.11' }),
})
