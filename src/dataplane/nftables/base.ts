/** What of our table is there whatever the services are: its sets, and the chains that packets come into. */
import type { WantedChain } from '../ruleset/compare.js'
import type { RulesetSettings } from '../ruleset/settings.js'
import { setNames } from '../ruleset/sets.js'
import {
  clearMarkBit,
  compare,
  type Expressions,
  families,
  type FamilyWords,
  find,
  goto,
  hasMarkBit,
  hostNumber,
  isFamily,
  loadDestination,
  loadSource,
  masked,
  rejections,
  word,
} from '../ruleset/words.js'
import { dispatchRules, rejectChain } from './profiles.js'

/** In an order in which each refers to earlier ones alone. */
export function baseChains(settings: RulesetSettings): WantedChain[] {
  const toDispatch: readonly Expressions[] = [[goto('dispatch')]]
  return [
    { name: rejectChain, rules: rejections },
    { name: 'dispatch', rules: families.flatMap(dispatchRules) },
    // NF_IP_PRI_NAT_DST, NF_IP_PRI_NAT_SRC (include/uapi/linux/netfilter_ipv4.h).
    { name: 'prerouting', type: 'nat', hook: 'prerouting', priority: -100, rules: toDispatch },
    { name: 'output', type: 'nat', hook: 'output', priority: -100, rules: toDispatch },
    {
      name: 'postrouting',
      type: 'nat',
      hook: 'postrouting',
      priority: 100,
      rules: [masqueradeMarked(settings.masqueradeBit), ...families.map(masqueradeHairpin)],
    },
  ]
}

const masquerade: Expressions[number] = { name: 'masq', flags: ['fully-random'] }

/** The bit has done its work: what goes on through a tunnel of this host would else be masqueraded there, too. */
function masqueradeMarked(bit: number): Expressions {
  return [...hasMarkBit(bit), ...clearMarkBit(bit), masquerade]
}

/** `IPS_DST_NAT` (include/uapi/linux/netfilter/nf_conntrack_common.h). */
const translated = 0x20

/** A server that reaches itself through its service would answer itself without us. */
function masqueradeHairpin(words: FamilyWords): Expressions {
  return [
    ...isFamily(words),
    { name: 'ct', key: 'status', destinationRegister: word(0) },
    masked(0, hostNumber(translated)),
    compare(0, '!=', hostNumber(0)),
    loadSource(words, 0),
    loadDestination(words, words.words),
    find(setNames(words).hairpin, 0),
    masquerade,
  ]
}
