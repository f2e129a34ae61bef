/** The checks there are, by their kinds. */
import { ValidationError } from '../../errors/index.js'
import type { RealServer } from '../../model/index.js'
import { type AgentCheck, startAgent } from './agent.js'
import { type DnsCheck, startDns } from './dns.js'
import { type GrpcCheck, startGrpc } from './grpc.js'
import { type HttpCheck, startHttp } from './http.js'
import { type Http2Check, startHttp2 } from './http2.js'
import { type OwnCheck, startOwn } from './own.js'
import { type PingCheck, startPing } from './ping.js'
import { type TcpCheck, startTcp } from './tcp.js'
import { type UdpCheck, startUdp } from './udp.js'
import type { StartCheck } from './check.js'
import type { CheckResources } from './resources.js'

export type { HttpQuestion } from './answer.js'
export type { CheckPlace } from './check.js'
export type { RecordType, ResponseCode } from './dns-wire.js'
export type { OwnResult } from './own.js'
export { CheckResources } from './resources.js'
export type { CheckTls } from './tls.js'
export type {
  AgentCheck,
  DnsCheck,
  GrpcCheck,
  HttpCheck,
  Http2Check,
  OwnCheck,
  PingCheck,
  TcpCheck,
  UdpCheck,
}

/** What is done to find out about a server. */
export type Check =
  AgentCheck | DnsCheck | GrpcCheck | HttpCheck | Http2Check | OwnCheck | PingCheck | TcpCheck | UdpCheck

/** @throws ValidationError for what is no check */
export function startOf(check: Check, server: RealServer, resources: CheckResources): StartCheck {
  switch (check.kind) {
    case 'agent':
      return startAgent(check, server, resources)
    case 'dns':
      return startDns(check, server, resources)
    case 'grpc':
      return startGrpc(check, server, resources)
    case 'http':
      return startHttp(check, server, resources)
    case 'http2':
      return startHttp2(check, server, resources)
    case 'own':
      return startOwn(check, server)
    case 'ping':
      return startPing(check, server)
    case 'tcp':
      return startTcp(check, server, resources)
    case 'udp':
      return startUdp(check, server)
    default:
      throw new ValidationError('check.kind', (check as { kind?: unknown }).kind, 'a kind of check')
  }
}
