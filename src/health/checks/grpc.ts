/** gRPC's health checking protocol, grpc.health.v1.Health/Check. */
import { formatEndpoint, type RealServer } from '../../model/index.js'
import { integer } from '../rules.js'
import { type CheckResult, failed, passed, quote } from '../result.js'
import { type CheckPlace, type StartCheck, targetOf } from './check.js'
import { type Answer, startExchange } from './http2.js'
import type { CheckResources } from './resources.js'
import type { CheckTls } from './tls.js'

/** The server must say SERVING. */
export interface GrpcCheck extends CheckPlace {
  /** gRPC health (grpc.health.v1). */
  readonly kind: 'grpc'
  /** Which of its services; the server as a whole unless said. */
  readonly service?: string | undefined
  /** The authority that is asked for; address and port unless said. */
  readonly host?: string | undefined
  /** TLS; without it HTTP/2 by prior knowledge. */
  readonly tls?: CheckTls | true | undefined
}

export function startGrpc(check: GrpcCheck, server: RealServer, resources: CheckResources): StartCheck {
  const { service = '', host } = check
  const target = targetOf(check, server)
  const message = healthRequest(service)
  const headers = {
    ':method': 'POST',
    ':scheme': check.tls === undefined ? 'http' : 'https',
    ':path': '/grpc.health.v1.Health/Check',
    ':authority': host ?? formatEndpoint(target.address, target.port),
    'content-type': 'application/grpc',
    te: 'trailers',
  }
  return startExchange(check, server, resources, async (exchange) =>
    judge(await exchange(headers, message, mostBytes)),
  )
}

/** An answer has seven bytes. */
const mostBytes = 1024

function judge({ headers, trailers, parts }: Answer): CheckResult {
  if (headers[':status'] !== 200) return failed('wrong-answer', `status ${headers[':status']}`)
  // Without a message the trailers come in the headers' place.
  const status = trailers['grpc-status'] ?? headers['grpc-status']
  if (status !== '0') {
    if (status === '5') return failed('not-serving', 'the service is not known there (NOT_FOUND)')
    if (status === '12') return failed('wrong-answer', 'the server has no health service (UNIMPLEMENTED)')
    return failed('wrong-answer', `grpc-status ${quote(String(status))}`)
  }
  const serving = readHealthResponse(Buffer.concat(parts))
  if (serving === undefined) return failed('malformed', 'no HealthCheckResponse')
  return serving === 1 ? passed : failed('not-serving', statusNames[serving] ?? `status ${serving}`)
}

/** Of HealthCheckResponse.ServingStatus. */
const statusNames: readonly (string | undefined)[] = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN']

/** A HealthCheckRequest (field 1 is the service, a string), behind the five bytes that stand before a message. */
export function healthRequest(service: string): Uint8Array {
  const name = new TextEncoder().encode(service)
  integer('check.service', name.length, 0, 127)
  const message = name.length === 0 ? [] : [0x0a, name.length, ...name]
  return Uint8Array.of(0, 0, 0, 0, message.length, ...message)
}

/**
 * The status in a HealthCheckResponse (field 1, an enum), 0 where it is left out. Undefined for anything else: it is
 * compressed, cut, or no protobuf.
 */
export function readHealthResponse(bytes: Uint8Array): number | undefined {
  if (bytes.length < 5 || bytes[0] !== 0) return undefined
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(1)
  if (length !== bytes.length - 5) return undefined
  let at = 5
  let status = 0
  const varint = (): number | undefined => {
    let value = 0
    for (let shift = 0; shift < 70 && at < bytes.length; shift += 7) {
      const byte = bytes[at++]!
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) return value
    }
    return undefined
  }
  while (at < bytes.length) {
    const tag = varint()
    if (tag === undefined || tag < 8) return undefined
    const wire = tag % 8
    if (wire === 0) {
      const value = varint()
      if (value === undefined) return undefined
      if (tag === 8) status = value
    } else {
      // Fields that are not known yet are skipped.
      const size = wire === 1 ? 8 : wire === 5 ? 4 : wire === 2 ? varint() : undefined
      if (size === undefined || size > bytes.length - at) return undefined
      at += size
    }
  }
  return status
}
