/** Label selectors: what an object's labels must be. */
import { fail, isObject, type Loose } from './reading.js'

/** One thing that labels must fulfil. */
export interface Requirement {
  /** Of the label. */
  readonly key: string
  /** What its value must be: one of `values`, none of them, there, or not there. */
  readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist'
  /** Of `In` and `NotIn`: at least one. */
  readonly values: readonly string[]
}

/** All of them must be fulfilled; without any, everything matches. */
export type Selector = readonly Requirement[]

/** As Kubernetes writes a selector: a plain map as in a Service, or a LabelSelector, or its text (`app=web,tier in (a,b),!old`). */
export type SelectorInput =
  | string
  | Readonly<Record<string, string>>
  | {
      /** Labels that must be just so. */
      readonly matchLabels?: Readonly<Record<string, string>> | undefined
      /** Further requirements. */
      readonly matchExpressions?:
        | readonly {
            /** Of the label. */
            readonly key: string
            /** `In`, `NotIn`, `Exists` or `DoesNotExist`. */
            readonly operator: string
            /** Of `In` and `NotIn`. */
            readonly values?: readonly string[] | undefined
          }[]
        | undefined
    }

/** Labels of an object: values that are no text are none. */
export type Labels = Readonly<Record<string, unknown>>

/** Do these labels fulfil the selector? `NotIn` is fulfilled by what has no such label at all. */
export function matches(selector: Selector, labels: Labels | undefined): boolean {
  for (const { key, operator, values } of selector) {
    // What every object inherits is no string.
    const value = labels?.[key]
    const holds =
      operator === 'In'
        ? typeof value === 'string' && values.includes(value)
        : operator === 'NotIn'
          ? typeof value !== 'string' || !values.includes(value)
          : (typeof value === 'string') === (operator === 'Exists')
    if (!holds) return false
  }
  return true
}

/**
 * Reads a selector; `path` is where it stands, for the error.
 * @throws ValidationError
 */
export function readSelector(input: unknown, path: string): Selector {
  if (typeof input === 'string') return readText(input, path)
  if (!isObject(input)) fail(path, input, 'a map of labels, or matchLabels and matchExpressions')
  // A label may be called matchLabels, but then its value is a string.
  if (isObject(input.matchLabels) || Array.isArray(input.matchExpressions)) {
    for (const key of Object.keys(input)) {
      if (key !== 'matchLabels' && key !== 'matchExpressions') {
        fail(`${path}.${key}`, input[key], 'nothing beside matchLabels and matchExpressions')
      }
    }
    return [
      ...(input.matchLabels === undefined ? [] : readMap(input.matchLabels, `${path}.matchLabels`)),
      ...readExpressions(input.matchExpressions ?? [], `${path}.matchExpressions`),
    ]
  }
  return readMap(input, path)
}

function readMap(input: unknown, path: string): Requirement[] {
  if (!isObject(input)) fail(path, input, 'a map of labels')
  return Object.keys(input).map((key) => equal(key, input, path))
}

function equal(key: string, input: Loose, path: string): Requirement {
  const value = input[key]
  if (typeof value !== 'string') fail(`${path}.${key}`, value, 'a string')
  return { key, operator: 'In', values: [value] }
}

function readExpressions(input: unknown, path: string): Requirement[] {
  if (!Array.isArray(input)) fail(path, input, 'a list')
  return input.map((item: unknown, index) => {
    const place = `${path}[${index}]`
    if (!isObject(item)) fail(place, item, 'an object with key, operator and values')
    const { key, operator, values = [] } = item
    if (typeof key !== 'string' || key === '') fail(`${place}.key`, key, 'the name of a label')
    const isSet = operator === 'In' || operator === 'NotIn'
    if (!isSet && operator !== 'Exists' && operator !== 'DoesNotExist') {
      fail(`${place}.operator`, operator, '"In", "NotIn", "Exists" or "DoesNotExist"')
    }
    if (!Array.isArray(values) || !values.every((value) => typeof value === 'string')) {
      fail(`${place}.values`, values, 'a list of strings')
    }
    if (isSet !== values.length > 0) {
      fail(`${place}.values`, values, isSet ? 'at least one value' : `none, for ${operator}`)
    }
    return { key, operator, values }
  })
}

const term =
  /^\s*(?:(!)\s*([^\s,!=()]+)|([^\s,!=()]+)(?:\s*(==?|!=)\s*([^\s,!=()]*)|\s+(in|notin)\s*\(([^()]*)\))?)\s*(?:,|$)/

/** As `kubectl -l` takes it. */
function readText(text: string, path: string): Selector {
  const selector: Requirement[] = []
  let rest = text
  while (rest.trim() !== '') {
    const found = term.exec(rest)
    if (found === null) fail(path, text, 'a selector such as "app=web,tier in (a,b),!old"')
    const [whole, not, absent, key, sign, value = '', word, list = ''] = found
    if (not !== undefined) selector.push({ key: absent!, operator: 'DoesNotExist', values: [] })
    else if (sign !== undefined) {
      selector.push({ key: key!, operator: sign === '!=' ? 'NotIn' : 'In', values: [value] })
    } else if (word !== undefined) {
      const values = list.split(',').map((item) => item.trim())
      selector.push({ key: key!, operator: word === 'in' ? 'In' : 'NotIn', values })
    } else selector.push({ key: key!, operator: 'Exists', values: [] })
    rest = rest.slice(whole.length)
  }
  return selector
}
