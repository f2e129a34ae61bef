/** What a check says of a server. */

/** Why a server fails. */
export type FailureReason =
  /** Nobody listens (ECONNREFUSED, an ICMP port unreachable). */
  | 'refused'
  /** No answer in time. */
  | 'timed-out'
  /** The connection was reset, or ended before the answer was whole. */
  | 'reset'
  /** A router, or the link, says that the server cannot be reached. */
  | 'unreachable'
  /** The answer is none of its protocol. */
  | 'malformed'
  /** The answer is whole, and another one than wanted: status, body, record. */
  | 'wrong-answer'
  /** Its certificate is not valid for who it should be. */
  | 'certificate'
  /** TLS could not be agreed on. */
  | 'tls'
  /** It says itself that it does not serve (gRPC health, an agent). */
  | 'not-serving'
  /** The user's own function says so, or threw. */
  | 'own'

/** Why a check could not be run: nothing is known of the server by that. */
export type BlockReason =
  /** This host has no route there (ENETUNREACH, EHOSTUNREACH of its own tables). */
  | 'no-route'
  /** A route or rule of this host prohibits it, or a capability lacks (EACCES, EPERM). */
  | 'no-permission'
  /** The address to check from is not this host's (EADDRNOTAVAIL), or the kernel has no such family. */
  | 'no-address'
  /** Descriptors, ports or memory have run out here. */
  | 'no-resources'
  /** Something else of this side: an interface or a namespace that is not there. */
  | 'error'

/** The answer is as wanted. */
export interface Passed {
  /** Counts for the server. */
  readonly outcome: 'passed'
  /** Part of its configured weight that the server asks for: 1 for all, 0 for no new connections. */
  readonly share?: number | undefined
  /** From its start to the verdict. */
  readonly milliseconds?: number | undefined
}
/** The server does not do what it should. */
export interface Failed {
  /** Counts against the server. */
  readonly outcome: 'failed'
  /** In a word. */
  readonly reason: FailureReason
  /** For people. What the server sent is quoted at most in part. */
  readonly message: string
}
/** The check could not be run. It counts neither for the server nor against it. */
export interface NotRun {
  /** Says nothing of the server. */
  readonly outcome: 'not-run'
  /** In a word. */
  readonly reason: BlockReason
  /** For people. */
  readonly message: string
}
/** What one run of a check says. */
export type CheckResult = Passed | Failed | NotRun

/** A result that says no more than that. */
export const passed: Passed = { outcome: 'passed' }

/** The server fails. */
export function failed(reason: FailureReason, message: string): Failed {
  return { outcome: 'failed', reason, message }
}

/** The check could not be run. */
export function notRun(reason: BlockReason, message: string): NotRun {
  return { outcome: 'not-run', reason, message }
}

/** What a server sent, for a message: in part, and nothing in it that moves a cursor. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text)
}
