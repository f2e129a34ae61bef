/** `viaduct ipvsadm …`: from arguments to an exit code. */
import { isKernelError } from '../../errors/index.js'
import type { Netns } from '../../net/index.js'
import type { Transport } from '../../netlink/index.js'
import { UsageError } from '../exit.js'
import { type Streams, write } from '../streams.js'
import { type Command, exitOf, plainFormat, UnresolvedName } from './command.js'
import { Kernel } from './kernel.js'
import { kernelMessage } from './messages.js'
import { HostNames, type ServiceProtocol, systemServiceNames } from './names.js'
import { type Names, parse } from './parse.js'
import { daemonLine, type EndpointText, endpointText, timeoutLine } from './print.js'
import { type NameFinder, renderRules, renderService, renderTable } from './table.js'
import { addressText } from './text.js'

export { plainFormat }
export { Kernel } from './kernel.js'
export { renderTable } from './table.js'

export interface RunOptions {
  /** What messages call the command; `ipvsadm` unless said. */
  readonly program?: string | undefined
  /** The network namespace; the current one if left out. */
  readonly netns?: Netns | undefined
  /** Something else than the addon's socket, closed in the end. */
  readonly transport?: Transport | undefined
}

/** Does what the arguments (without the command's own name) say, and resolves to the exit code. */
export async function run(
  argv: readonly string[],
  streams: Streams,
  options: RunOptions = {},
): Promise<number> {
  const session = new Session(streams, options)
  try {
    return await session.run(argv)
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    await session.complain(`${error.message}\n`)
    return error.exitCode
  } finally {
    session.close()
  }
}

/** One command, or with `-R` as many as there are lines: they share a socket and what names were found. */
class Session {
  readonly #streams: Streams
  readonly #options: RunOptions
  readonly #program: string
  readonly #hosts = new HostNames()
  readonly #names: Names = {
    host: (name, family) => this.#hosts.known(name, family),
    servicePort: (name, protocol) => systemServiceNames().port(name, protocol),
  }
  #opened: Kernel | undefined

  constructor(streams: Streams, options: RunOptions) {
    this.#streams = streams
    this.#options = options
    this.#program = options.program ?? 'ipvsadm'
  }

  async run(argv: readonly string[]): Promise<number> {
    const command: Command =
      argv.length === 0 ? { command: 'list', what: 'all', format: plainFormat } : await this.#parse(argv)
    if (command.command === 'restore') return this.#restore()
    try {
      await this.#perform(command)
      return 0
    } catch (error) {
      if (!isKernelError(error)) throw error
      await this.complain(`${kernelMessage(error, command.command)}\n`)
      return exitOf(command)
    }
  }

  async #restore(): Promise<number> {
    const kernel = await this.#kernel()
    const { restore } = await import('./restore.js')
    return restore(this.#streams.stdin, {
      parse: (words) => parse(words, this.#names, this.#program),
      find: ({ host, family }) => this.#hosts.find(host, family),
      apply: (changes) => kernel.apply(changes),
      perform: (command) => this.#perform(command),
      complain: (text) => this.complain(text),
    })
  }

  complain(text: string): Promise<void> {
    return write(this.#streams.stderr, text)
  }

  close(): void {
    this.#opened?.close()
  }

  async #kernel(): Promise<Kernel> {
    return (this.#opened ??= await Kernel.open(this.#options))
  }

  /** Parses, finds the addresses of names, and parses again: parsing itself asks nobody. */
  async #parse(argv: readonly string[]): Promise<Command> {
    for (;;) {
      try {
        return parse(argv, this.#names, this.#program)
      } catch (error) {
        if (!(error instanceof UnresolvedName)) throw error
        await this.#hosts.find(error.host, error.family)
      }
    }
  }

  async #perform(command: Exclude<Command, { command: 'restore' }>): Promise<void> {
    if (command.command === 'help' || command.command === 'version') {
      const { help, version } = await import('./help.js')
      return this.#print([command.command === 'help' ? help(this.#program) : version])
    }
    const kernel = await this.#kernel()
    switch (command.command) {
      case 'list':
        return this.#list(kernel, command)
      case 'save':
        return this.#print(renderRules(kernel, command.format, this.#findNames))
      case 'flush':
        return kernel.flush()
      case 'zero':
        return kernel.zero(command.service)
      case 'set':
        return kernel.setTimeouts(command)
      case 'start-daemon':
        return kernel.startDaemon(command.daemon)
      case 'stop-daemon':
        return kernel.stopDaemon(command.state)
      default:
        return kernel.change(command)
    }
  }

  async #list(kernel: Kernel, command: Extract<Command, { command: 'list' }>): Promise<void> {
    const { format } = command
    switch (command.what) {
      case 'all':
        return this.#print(renderTable(kernel, format, this.#findNames))
      case 'service': {
        const service = await kernel.service(command.service)
        return this.#print(renderService(kernel, service, format, this.#findNames))
      }
      case 'connections': {
        const { renderConnections } = await import('./connections.js')
        return this.#print(renderConnections(kernel.netns, format, this.#findNames))
      }
      case 'timeout':
        return this.#print([timeoutLine(await kernel.timeouts())])
      case 'daemon':
        return this.#print((await kernel.daemons()).map(daemonLine))
    }
  }

  readonly #findNames: NameFinder = async (addresses) => {
    await this.#hosts.findNames(addresses)
    const services = systemServiceNames()
    const name: EndpointText = (words, at, isIPv6, port, protocol) => {
      const address = addressText(words, at, isIPv6)
      const known = serviceProtocols[protocol]
      const service = known === undefined ? undefined : services.name(port, known)
      return endpointText(this.#hosts.nameOf(address) ?? address, isIPv6, service ?? String(port))
    }
    return name
  }

  async #print(pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array | string>): Promise<void> {
    for await (const piece of pieces) await write(this.#streams.stdout, piece)
  }
}

const serviceProtocols: Readonly<Record<number, ServiceProtocol>> = { 6: 'tcp', 17: 'udp', 132: 'sctp' }
