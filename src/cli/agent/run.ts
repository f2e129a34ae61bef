/** `viaduct run`: reads its configuration, runs until it is told to end, and reads it again when it is told to. */
import {
  Agent,
  type AgentConfiguration,
  type AgentLog,
  ControlServer,
  defaultSocket,
  formatProblem,
  planOf,
  readConfigurationFile,
  tearDown,
} from '../../agent/index.js'
import { toJson } from '../../json.js'
import { type Invocation, usage } from '../command.js'
import { exitUsage, UsageError } from '../exit.js'
import { type Streams, write } from '../streams.js'

export async function runAgent(invocation: Invocation): Promise<void> {
  const { streams, options, words, isJson } = invocation
  if (words.length > 0) throw usage(`${words[0]!} is one word too many: manifests are given by -f`)
  const read = (): Promise<AgentConfiguration> => configurationOf(invocation)
  const configuration = await read()
  const log = await loggerOf(configuration, streams)
  if (options.has('teardown')) {
    const done = await tearDown(configuration, log)
    await write(
      streams.stdout,
      isJson ? `${toJson({ removed: done })}\n` : `removed: ${done.join(', ') || 'nothing'}\n`,
    )
    return
  }
  if ((configuration.manifests?.length ?? 0) === 0)
    throw usage('which manifests? Give a folder with -f, or `manifests` in the configuration')
  if (options.has('dry-run')) {
    const plan = await planOf(configuration)
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
  await serve(invocation, configuration, read, log)
}

async function serve(
  { options, signal }: Invocation,
  configuration: AgentConfiguration,
  read: () => Promise<AgentConfiguration>,
  log: AgentLog,
): Promise<void> {
  const ended = new Promise<string>((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => resolve(name))
    signal?.addEventListener('abort', () => resolve('it was told to'), { once: true })
    if (signal?.aborted === true) resolve('it was told to')
  })
  let agent: Agent | undefined
  // Before everything else: of two that run here, the second does nothing.
  const control =
    configuration.control?.enabled === false
      ? undefined
      : await ControlServer.listen(
          options.get('socket') ?? configuration.control?.socket ?? defaultSocket,
          () => agent,
        )
  const reload = (): void => {
    void read()
      .then((again) => agent?.reload(again))
      .catch((error: unknown) => {
        const message = error instanceof Error ? error.message : String(error)
        log.error({ error: message }, 'not reloaded: what ran before goes on')
      })
  }
  process.on('SIGHUP', reload)
  try {
    agent = await Agent.start({ configuration, log })
    log.info({ pid: process.pid }, 'running')
    const why = await ended
    log.info({ why }, 'stopping: what is programmed goes on forwarding')
  } finally {
    process.off('SIGHUP', reload)
    await control?.close()
    await agent?.close()
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

/** Quiet unless it is told otherwise: what is wrong, and nothing else. */
async function loggerOf({ log }: AgentConfiguration, streams: Streams): Promise<AgentLog> {
  const { default: pino } = await import('pino')
  const level = log?.level ?? 'warn'
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
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
  }
}
