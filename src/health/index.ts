/** Health: which servers answer as they should, and what follows from it. `viaduct/health`. */
export type {
  Check,
  CheckPlace,
  CheckTls,
  HttpQuestion,
  OwnResult,
  RecordType,
  ResponseCode,
  AgentCheck,
  DnsCheck,
  GrpcCheck,
  HttpCheck,
  Http2Check,
  OwnCheck,
  PingCheck,
  TcpCheck,
  UdpCheck,
} from './checks/index.js'
export { conntrackPassive, type ConntrackPassiveOptions } from './conntrack-passive.js'
export { type DampingRules } from './damping.js'
export { type EjectionRules, type PassiveSample } from './ejection.js'
export type { EventsLost, HealthEvent, HealthEventKind } from './events.js'
export type { OutCause, Placement } from './group.js'
export { ipvsPassive } from './ipvs-passive.js'
export type { Lateness } from './lateness.js'
export { type HealthCounts, HealthMonitor, type HealthMonitorOptions } from './monitor.js'
export type { BlockReason, CheckResult, Failed, FailureReason, NotRun, Passed } from './result.js'
export type { HealthRules } from './rules.js'
export type { HealthInput, ServerHealth, ServiceHealth } from './service.js'
export { type ChecksOf, ServiceChecks } from './service-checks.js'
export { type WithoutConntrack, withoutConntrack, type WithoutConntrackOptions } from './untracked.js'
