import { isKernelError, UnsupportedError } from '../errors/index.js'
import { GenericFamily, GENL_HDRLEN } from '../genetlink/index.js'
import type { CallOptions, Connection, Decoded, Encodable } from '../netlink/index.js'
import { fou as table, FOU_GENL_NAME, FOU_GENL_VERSION, fouCommand } from './wire.js'

/** A UDP port that takes tunnelled packets. */
export interface FouPort extends Decoded<typeof table> {}

/** A UDP port to take tunnelled packets at. */
export interface FouPortInput extends Encodable<typeof table> {
  /** 1 to 65535. */
  readonly port: number
  /** `ipv4` unless said. */
  readonly family?: 'ipv4' | 'ipv6' | undefined
  /** `direct` unless said; it needs `protocol`, `gue` does not. */
  readonly encapsulation?: 'direct' | 'gue' | undefined
}

/**
 * The receiving side of foo-over-UDP and generic UDP encapsulation: ports whose packets are unwrapped and go on as if
 * they had come without. The sending side is an ipip, sit or gre link with `encapsulation`.
 */
export class FouPorts {
  readonly #connection: Connection
  #family: GenericFamily | undefined

  /** @internal */
  constructor(connection: Connection) {
    this.#connection = connection
  }

  /** The ports that are open. */
  async list(options?: CallOptions): Promise<FouPort[]> {
    const family = await this.#open(options)
    return family.dump(
      {
        operation: 'fou.list',
        command: fouCommand.get,
        attributes: table,
        record: {},
      },
      (bytes, view, offset, end) => table.decode(bytes, view, offset + GENL_HDRLEN, end) as FouPort,
      options,
    )
  }

  /** Throws EADDRINUSE if the port is taken, UnsupportedError if the kernel has no fou. */
  async add(input: FouPortInput, options?: CallOptions): Promise<void> {
    await this.#execute('fou.add', fouCommand.add, input, options)
  }

  /** Throws EINVAL if there is no such port. */
  async delete(input: FouPortInput, options?: CallOptions): Promise<void> {
    await this.#execute('fou.delete', fouCommand.delete, input, options)
  }

  async #execute(
    operation: string,
    command: number,
    input: FouPortInput,
    options?: CallOptions,
  ): Promise<void> {
    const family = await this.#open(options)
    const record = { encapsulation: 'direct', family: 'ipv4', ...input }
    await family.execute({ operation, object: input, command, attributes: table, record }, options)
  }

  async #open(options: CallOptions | undefined): Promise<GenericFamily> {
    if (this.#family !== undefined) return this.#family
    try {
      // At the first use: most users never need it. Of several first callers each asks by itself, for the signal and the
      // deadline of one are nothing to the others.
      this.#family = await GenericFamily.open(this.#connection, FOU_GENL_NAME, FOU_GENL_VERSION, options)
      return this.#family
    } catch (error) {
      if (!isKernelError(error, 'ENOENT')) throw error
      throw new UnsupportedError('fou', 'the kernel module fou (CONFIG_NET_FOU), loaded on the host', {
        cause: error,
      })
    }
  }
}
