/** `viaduct run`: reads its configuration, runs until it is told to end, and reads it again when it is told to. */
import { once } from 'node:events'
import {
  Agent,
  type AgentConfiguration,
  type AgentLog,
  ControlServer,
  defaultSocket,
  formatProblem,
  planOf,
  readConfigurationFile,
  savedState,
  tearDown,
} from '../../agent/index.js'
import { toJson } from '../../json.js'
import { type Invocation, usage } from '../command.js'
import { exitUsage, UsageError } from '../exit.js'
import { type Streams, write } from '../streams.js'

const ends = ['SIGTERM', 'SIGINT'] as const

export async function runAgent(invocation: Invocation): Promise<void> {
  const { streams, options, words, isJson } = invocation
  if (words.length > 0) throw usage(`${words[0]!} is one word too many: manifests are given by -f`)
  const read = (): Promise<AgentConfiguration> => configurationOf(invocation)
  const configuration = await read()
  const log = await loggerOf(configuration, streams)
  const socket =
    configuration.control?.enabled === false
      ? undefined
      : (options.get('socket') ?? configuration.control?.socket ?? defaultSocket)
  if (options.has('teardown')) {
    const done = await alone(
      socket,
      () => undefined,
      () => tearDown(configuration, log),
    )
    await write(
      streams.stdout,
      isJson ? `${toJson({ removed: done })}\n` : `removed: ${done.join(', ') || 'nothing'}\n`,
    )
    return
  }
  if ((configuration.manifests?.length ?? 0) === 0)
    throw usage('which manifests? Give a folder with -f, or `manifests` in the configuration')
  if (options.has('dry-run')) {
    const plan = await planOf(configuration, await savedState(configuration, log))
    for (const problem of plan.problems) await write(streams.stderr, `${formatProblem(problem)}\n`)
    const lines = plan.text === '' ? '' : `${plan.text}\n`
    await write(
      streams.stdout,
      isJson
        ? `${toJson(plan)}\n`
        : `${lines}# ${plan.services} virtual services on ${plan.dataplane}: ${plan.writes} changes\n`,
    )
    return
  }
  await serve(invocation, configuration, socket, read, log)
}

async function serve(
  { signal }: Invocation,
  configuration: AgentConfiguration,
  socket: string | undefined,
  read: () => Promise<AgentConfiguration>,
  log: AdjustableLog,
): Promise<void> {
  const stopping = new AbortController()
  const stop = (why: unknown): void => stopping.abort(why)
  const stopped = (): void => stop('it was told to')
  signal?.addEventListener('abort', stopped, { once: true })
  if (signal?.aborted === true) stopped()
  let agent: Agent | undefined
  // Once it runs, and one after the other: the last word counts.
  let begun = (): void => undefined
  let turn: Promise<unknown> = new Promise<void>((resolve) => (begun = resolve))
  const reload = (): void => {
    turn = turn
      .then(async () => {
        const again = await read()
        await agent?.reload(again)
        log.setLevel(again)
      })
      .catch((error: unknown) => {
        const message = error instanceof Error ? error.message : String(error)
        log.error({ error: message }, 'not reloaded: what ran before goes on')
      })
  }
  // Whoever is told twice ends in order all the same.
  for (const name of ends) process.on(name, stop)
  process.on('SIGHUP', reload)
  try {
    await alone(
      socket,
      () => agent,
      async () => {
        const started = await Agent.start({ configuration, log, signal: stopping.signal })
        try {
          agent = started
          begun()
          log.info({ pid: process.pid }, 'running')
          if (!stopping.signal.aborted) await once(stopping.signal, 'abort')
          log.info({ why: String(stopping.signal.reason) }, 'stopping: what is programmed goes on forwarding')
        } finally {
          agent = undefined
          await started.close()
        }
      },
    )
  } catch (error) {
    if (!stopping.signal.aborted || error !== stopping.signal.reason) throw error
  } finally {
    process.off('SIGHUP', reload)
    for (const name of ends) process.off(name, stop)
    signal?.removeEventListener('abort', stopped)
  }
}

/** Does it while the control socket is held: of two that work here, the second does nothing. */
async function alone<T>(
  socket: string | undefined,
  current: () => Agent | undefined,
  work: () => Promise<T>,
): Promise<T> {
  const control = socket === undefined ? undefined : await ControlServer.listen(socket, current)
  try {
    return await work()
  } finally {
    await control?.close()
  }
}

/** The file's, with what the command line says instead. @throws UsageError with a line for each problem */
async function configurationOf({ options, lists, netns, streams }: Invocation): Promise<AgentConfiguration> {
  const file = options.get('config')
  const read =
    file === undefined
      ? { configuration: {} as AgentConfiguration, problems: [] }
      : await readConfigurationFile(file).catch((error: unknown) => {
          throw new UsageError(
            `--config: ${error instanceof Error ? error.message : String(error)}`,
            exitUsage,
          )
        })
  const errors = read.problems.filter(({ severity }) => severity === 'error')
  if (errors.length > 0)
    throw new UsageError(
      `the configuration cannot be meant\n${errors.map(formatProblem).join('\n')}`,
      exitUsage,
    )
  for (const note of read.problems) await write(streams.stderr, `${formatProblem(note)}\n`)
  const { configuration } = read
  const kind = options.get('dataplane')
  if (kind !== undefined && kind !== 'auto' && kind !== 'nftables' && kind !== 'ipvs')
    throw usage(`--dataplane: expected auto, nftables or ipvs, got ${kind}`)
  const manifests = [...(lists.get('filename') ?? []), ...(configuration.manifests ?? [])]
  return {
    ...configuration,
    manifests: [...new Set(manifests)],
    dataplane: {
      ...configuration.dataplane,
      ...(kind === undefined ? {} : { kind }),
      ...(netns === undefined ? {} : { netns }),
    },
  }
}

interface AdjustableLog extends AgentLog {
  readonly setLevel: (configuration: AgentConfiguration) => void
}

/** Quiet unless it is told otherwise: what is wrong, and nothing else. */
async function loggerOf(configuration: AgentConfiguration, streams: Streams): Promise<AdjustableLog> {
  const { default: pino } = await import('pino')
  const levelOf = ({ log }: AgentConfiguration): string => log?.level ?? 'warn'
  const level = levelOf(configuration)
  const { isoTime: timestamp } = pino.stdTimeFunctions
  const logger = pino(
    { level, base: null, timestamp, formatters: { level: (label) => ({ level: label }) } },
    {
      write(line: string) {
        streams.stderr.write(line, () => undefined)
      },
    },
  )
  return {
    setLevel: (again) => (logger.level = levelOf(again)),
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
  }
}
