/** DNS for services: the zone, which is pure, and the server that answers from it. `viaduct/dns`. */
export { type DnsListenAddress, DnsServer, type DnsServerOptions } from './server.js'
export type { DnsCounts } from './tally.js'
export type { PodRecords, RecordType, ResourceRecord } from './records.js'
export { Zone, type ZoneAnswer, type ZoneChange, type ZoneOptions } from './zone.js'
export type { RateLimitOptions } from './rate-limit.js'
export type { TcpLimits } from './tcp.js'
