/**
 * The narrow waist: everything above speaks to a Transport; the addon's socket, the fake kernel of `viaduct/testing`
 * and any other binding stand below it.
 */
export interface Transport {
  /**
   * Sends `request[0, length)` and receives at once: a netlink request is answered inside `sendmsg`. For small requests of
   * the kinds `batch` and `atomic`.
   * The bytes are valid until the next call. Left out by transports that cannot.
   */
  readonly exchangeSync?:
    | ((request: Uint8Array, length: number, kind: RequestKind, deadlineMilliseconds: number) => Replies)
    | undefined
  /**
   * The same without holding the event loop. The request may be written over as soon as the call returns. `into` is
   * memory that the replies may be put in, lent until the promise is settled; those who do not need it leave it alone.
   */
  exchange(
    request: Uint8Array,
    length: number,
    kind: RequestKind,
    deadlineMilliseconds: number,
    into?: Uint8Array,
  ): Promise<Replies>
  /**
   * Events of a multicast group, or of several in the order in which the kernel tells them, until the returned function is
   * called; closing the transport is told as an error. Left out by transports that cannot.
   */
  readonly subscribe?:
    ((groups: number | readonly number[], listener: EventListener) => () => void) | undefined
  /** The number that the kernel knows it by (`nlmsg_pid` of what comes of its requests). Left out where there is none. */
  readonly portId?: number | undefined
  /** Closes the descriptor. What is under way rejects. */
  close(): void
}

/**
 * `batch`: one send for all messages, settled when the last one that carries NLM_F_ACK is answered.
 * `dumps`: each message is a dump, sent alone and read to its end (a socket runs one dump at a time).
 * `atomic`: one send for all messages, settled with what was answered inside it. Nothing is waited for.
 */
export type RequestKind = 'batch' | 'dumps' | 'atomic'

/** What came back. */
export interface Replies {
  /** Whole messages, one after the other, in the order of their coming. */
  readonly bytes: Uint8Array
  /** The receive buffer overflowed (ENOBUFS): what the dropped replies said is unknown. */
  readonly lost: boolean
}

/** What a subscription tells. */
export type TransportEvent =
  | { readonly bytes: Uint8Array }
  /** Events were lost: read the state anew. */
  | { readonly overrun: true }
  /** Nothing more will come. */
  | { readonly error: Error }
/** Takes events of a multicast group. */
export type EventListener = (event: TransportEvent) => void
