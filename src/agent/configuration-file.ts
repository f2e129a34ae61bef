/** A configuration as a file: what is wrong is told with the line and the path. */
import { readFile } from 'node:fs/promises'
import { parsePath } from '../sources/manifest.js'
import { isObject } from '../model/reading.js'
import { readYaml, type YamlDocument } from '../sources/yaml.js'
import type { SourceProblem } from '../sources/index.js'
import {
  type AgentConfiguration,
  configurationKind,
  type ConfigurationReading,
  readConfiguration,
} from './configuration.js'
import { kubeProxyKind, readKubeProxyConfiguration } from './kube-proxy.js'
import { type FieldProblem } from './schema.js'

export interface ConfigurationFile {
  readonly configuration: AgentConfiguration
  /** Errors first: with any of those it is not to be used. */
  readonly problems: readonly SourceProblem[]
}

const mostBytes = 1 << 20
/** Of each severity: nobody reads more, and finding the line of each takes its time. */
const mostProblems = 100

/**
 * Reads a file of one document, of either kind.
 * @throws what the file system says
 */
export async function readConfigurationFile(file: string): Promise<ConfigurationFile> {
  const text = await readFile(file, 'utf8')
  const refused = (message: string, line = 1): ConfigurationFile => ({
    configuration: {},
    problems: [{ severity: 'error', place: file, line, message }],
  })
  if (text.length > mostBytes) return refused(`longer than ${mostBytes} bytes`)
  let document: YamlDocument | undefined
  for await (const one of readYaml(text, { documents: 2 })) {
    if (one.problems.length === 0 && one.value === null) continue
    if (document !== undefined)
      return refused('a second document: one configuration is read', one.positionOf([]).line)
    document = one
  }
  if (document === undefined) return refused('nothing stands in it')
  if (document.problems.length > 0) {
    return {
      configuration: {},
      problems: document.problems.map(({ line, column, message }) => ({
        severity: 'error',
        place: file,
        line,
        column,
        message,
      })),
    }
  }
  const { configuration, problems, notes } = interpret(document.value)
  const placed = (severity: SourceProblem['severity']) => {
    return ({ path, message }: FieldProblem): SourceProblem => ({
      severity,
      place: file,
      ...document.positionOf(parsePath(path)),
      path,
      message,
    })
  }
  const first = (severity: SourceProblem['severity'], found: readonly FieldProblem[]): SourceProblem[] =>
    found.slice(0, mostProblems).map(placed(severity))
  return { configuration, problems: [...first('error', problems), ...first('note', notes)] }
}

function interpret(value: unknown): ConfigurationReading {
  if (isObject(value)) {
    const { apiVersion, kind } = value
    const is = (one: { readonly apiVersion: string; readonly kind: string }): boolean =>
      kind === one.kind && apiVersion === one.apiVersion
    if (is(kubeProxyKind)) return readKubeProxyConfiguration(value)
    if (kind !== undefined && !is(configurationKind) && kind !== configurationKind.kind) {
      const known = [configurationKind, kubeProxyKind].map((one) => `${one.kind} of ${one.apiVersion}`)
      return {
        configuration: {},
        problems: [{ path: 'kind', message: `expected ${known.join(' or ')}, got ${JSON.stringify(kind)}` }],
        notes: [],
      }
    }
  }
  return readConfiguration(value)
}

/** `file:line:column: path: message`. */
export function formatProblem({ place, line, column, path, message }: SourceProblem): string {
  const at = [place, line, column].filter((part) => part !== undefined).join(':')
  return `${at}: ${path === undefined || path === '' ? '' : `${path}: `}${message}`
}
