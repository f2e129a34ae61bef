/** What the dataplane was told, checked. */
import type { Netns } from '../../net/index.js'
import type { DataplaneOptions } from '../dataplane.js'
import { type RulesetSettings, settingsOf as rulesetSettingsOf } from '../ruleset/settings.js'

export interface Settings extends RulesetSettings {
  readonly netns: Netns | undefined
  /** The interface that virtual addresses are on. */
  readonly device: string
}

/**
 * @param addresses  The node's, where it is not told of any.
 * @throws ValidationError
 */
export function settingsOf(options: DataplaneOptions, addresses: readonly string[]): Settings {
  const settings = rulesetSettingsOf(options, addresses)
  return { ...settings, netns: options.netns, device: deviceOf(options) }
}

export function deviceOf({ name = 'viaduct' }: DataplaneOptions): string {
  return `${name}0`
}
