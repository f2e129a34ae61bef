/** TLS over a connection of a check. */
import type { Socket } from 'node:net'
import { connect, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls'
import { ValidationError } from '../../errors/index.js'
import { parseAddress } from '../../address/index.js'
import { resultOfError } from '../classify.js'
import { failed, quote } from '../result.js'
import { CheckError } from './resources.js'

/** How the server must show who it is, and the check who it is. */
export interface CheckTls {
  /** The name that the certificate must be for, also sent as SNI. The check's `host` unless said, or else the address. */
  readonly serverName?: string | undefined
  /** Whom to trust, in PEM; the roots that Node has unless said. */
  readonly ca?: string | Uint8Array | readonly (string | Uint8Array)[] | undefined
  /** The check's own certificate, in PEM. */
  readonly cert?: string | Uint8Array | undefined
  /** Its key, in PEM. */
  readonly key?: string | Uint8Array | undefined
  /** False takes any certificate; true unless said. */
  readonly verify?: boolean | undefined
}

/** What is made of it once. */
export interface TlsPlan {
  readonly context: SecureContext
  readonly host: string
  readonly serverName: string | undefined
  readonly verify: boolean
  readonly protocols: readonly string[]
}

/** @throws ValidationError; what was given is not told, for it may be a key */
export function planTls(
  tls: CheckTls | true,
  address: string,
  host: string | undefined,
  protocols: readonly string[],
): TlsPlan {
  const { serverName, ca, cert, key, verify = true } = tls === true ? ({} as CheckTls) : tls
  let context: SecureContext
  try {
    context = createSecureContext({
      ca: buffersOf(ca),
      cert: buffersOf(cert),
      key: buffersOf(key),
    })
  } catch {
    throw new ValidationError('check.tls', undefined, 'certificates and a key that fit, in PEM')
  }
  // An address is no name that could be asked for (RFC 6066, 3).
  const wanted = serverName ?? host?.replace(/:\d+$/, '')
  const name =
    wanted !== undefined && parseAddress(wanted) === undefined && !wanted.startsWith('[') ? wanted : undefined
  return { context, host: name ?? address, serverName: name, verify, protocols }
}

function buffersOf<T extends string | Uint8Array>(
  given: T | readonly T[] | undefined,
): (string | Buffer)[] | undefined {
  if (given === undefined) return undefined
  const list = (Array.isArray(given) ? given : [given]) as readonly (string | Uint8Array)[]
  return list.map((one) => (typeof one === 'string' ? one : Buffer.from(one)))
}

/** @throws CheckError: `certificate` if it is not valid, `tls` if the two do not come together */
export function secure(socket: Socket, plan: TlsPlan): Promise<TLSSocket> {
  const { context, host, serverName, verify, protocols } = plan
  return new Promise((resolve, reject) => {
    const stream = connect({
      socket,
      host,
      secureContext: context,
      rejectUnauthorized: verify,
      ALPNProtocols: [...protocols],
      ...(serverName === undefined ? {} : { servername: serverName }),
    })
    stream.once('secureConnect', () => resolve(stream))
    // Also later: an alert that comes after the handshake.
    stream.on('error', (error: Error & { code?: string }) => {
      const { authorizationError } = stream as { authorizationError?: unknown }
      const code = typeof error.code === 'string' ? error.code : 'no code'
      if (authorizationError !== null && authorizationError !== undefined)
        reject(new CheckError(failed('certificate', wrongWith(code))))
      else reject(new CheckError(resultOfTlsError(error)))
    })
    stream.once('close', () =>
      reject(new CheckError(failed('reset', 'the connection ended during the handshake'))),
    )
  })
}

/** By the codes of OpenSSL's verification (crypto/x509/x509_txt.c) and of Node. */
const meanings: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'it has expired',
  CERT_NOT_YET_VALID: 'it is not valid yet',
  CERT_REVOKED: 'it is revoked',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'it is signed by itself',
  ERR_TLS_CERT_ALTNAME_INVALID: 'it is for other names',
  SELF_SIGNED_CERT_IN_CHAIN: 'its authority is not trusted',
  UNABLE_TO_GET_ISSUER_CERT: 'nobody who is trusted vouches for it',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'nobody who is trusted vouches for it',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'nobody who is trusted vouches for it',
}

function wrongWith(code: string): string {
  return Object.hasOwn(meanings, code) ? `${meanings[code]} (${code})` : code
}

/** Of OpenSSL's errors the code says enough: the message quotes what came. */
export function resultOfTlsError(error: unknown) {
  const { code } = (error ?? {}) as { code?: unknown }
  if (typeof code === 'string' && (/^ERR_(SSL|TLS|OSSL)/.test(code) || code === 'EPROTO')) {
    return failed('tls', quote(code))
  }
  return resultOfError(error)
}
