/** What `viaduct nft list` lists, a row each: which of a ruleset is read for it, and which of that is meant. */
import type { NftObject, Outputs, Ruleset } from '../../nftables/index.js'

/** The lists of a ruleset. */
export type Part = Exclude<keyof Ruleset, 'generation'>

export interface Noun {
  /** `chains` lists all, `chain` one. */
  readonly plural: string
  readonly singular: string
  /** In which its objects are. */
  readonly part: Part
  /** What belongs to them, and is read and shown with one. */
  readonly within?: Part | undefined
  /** Of those in the part. */
  readonly isMeant?: ((object: never) => boolean) | undefined
}

const stateful = (type: NftObject['type'], plural = `${type}s`): Noun => ({
  plural,
  singular: type,
  part: 'objects',
  isMeant: (object: NftObject) => object.type === type,
})

/** A rule's own sets have no name that anybody gave. */
const isSet = ({ flags = [] }: Outputs['set']): boolean =>
  !flags.includes('map') && !flags.includes('anonymous')
const isMap = ({ flags = [] }: Outputs['set']): boolean =>
  flags.includes('map') && !flags.includes('anonymous')

export const nouns: readonly Noun[] = [
  { plural: 'tables', singular: 'table', part: 'tables' },
  { plural: 'chains', singular: 'chain', part: 'chains', within: 'rules' },
  { plural: 'sets', singular: 'set', part: 'sets', within: 'elements', isMeant: isSet },
  { plural: 'maps', singular: 'map', part: 'sets', within: 'elements', isMeant: isMap },
  { plural: 'flowtables', singular: 'flowtable', part: 'flowtables' },
  { plural: 'objects', singular: 'object', part: 'objects' },
  stateful('counter'),
  stateful('quota'),
  stateful('limit'),
  stateful('connlimit'),
  stateful('ct-helper'),
  stateful('ct-timeout'),
  stateful('ct-expectation'),
  stateful('synproxy', 'synproxies'),
  stateful('secmark'),
  stateful('tunnel'),
]
