/** Connection tracking: which flows there are, changing and ending them, and events. `viaduct/conntrack`. */
export { Conntrack, type ConntrackOptions, type ConntrackUsage, type CpuStatistics } from './client.js'
export type { ConntrackEvent, EventKind, EventsOptions } from './events.js'
export {
  type Expectation,
  type ExpectationEvent,
  type ExpectationInput,
  Expectations,
  type ExpectationStatistics,
} from './expectations.js'
export type { FlowFilter, TupleFilter } from './filter.js'
export type { BothDirections, Flow, FlowStatus, SctpState, TcpState } from './flow.js'
export type { FlowChanges, FlowInput, FlowKey, NatInput } from './input.js'
export type { FlowProtocol } from './protocols.js'
export type { Tuple } from './tuple.js'
export type {
  DccpTracking,
  DccpTrackingInput,
  ExpectationNat,
  ExpectationNatInput,
  FlowCounters,
  FlowHelper,
  FlowHelperInput,
  FlowTimestamps,
  SctpTracking,
  SctpTrackingInput,
  SequenceAdjustment,
  SequenceAdjustmentInput,
  SynproxyState,
  SynproxyStateInput,
  TcpTracking,
  TcpTrackingInput,
} from './wire.js'
