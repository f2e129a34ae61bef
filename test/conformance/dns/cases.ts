/** Cases of DNS as they are written: objects, and what is to be answered. */
import { canonicalAddress } from '../../../src/address/index.js'
import { ValidationError } from '../../../src/errors/index.js'
import type { ModelObject } from '../../../src/model/index.js'
import type { PodRecords } from '../../../src/dns/index.js'

export interface Expected {
  readonly name: string
  readonly type: string
  readonly data: string
}

export interface DnsQuery {
  readonly name: string
  readonly type: string
  readonly rcode: string
  readonly answers: readonly Expected[]
}

export interface DnsCase {
  readonly name: string
  readonly zone: string
  readonly podRecords: PodRecords
  readonly objects: readonly ModelObject[]
  readonly namespaces: readonly string[]
  readonly queries: readonly DnsQuery[]
}

type Loose = Readonly<Record<string, unknown>>

/** @throws ValidationError */
export function readDnsCases(text: string): DnsCase[] {
  let list: unknown
  try {
    list = JSON.parse(text)
  } catch (error) {
    throw new ValidationError('file', (error as Error).message, 'JSON')
  }
  return listOf(list, 'file').map((item, index) => readCase(objectOf(item, `[${index}]`), `[${index}]`))
}

function readCase(one: Loose, path: string): DnsCase {
  const { podRecords = 'disabled' } = one
  if (podRecords !== 'disabled' && podRecords !== 'insecure' && podRecords !== 'verified') {
    throw new ValidationError(`${path}.podRecords`, podRecords, '"disabled", "insecure" or "verified"')
  }
  const objects = (['Service', 'EndpointSlice', 'Pod'] as const).flatMap((kind) => {
    const field = { Service: 'services', EndpointSlice: 'endpointSlices', Pod: 'pods' }[kind]
    return listOf(one[field] ?? [], `${path}.${field}`).map(
      (object, index) => ({ ...objectOf(object, `${path}.${field}[${index}]`), kind }) as ModelObject,
    )
  })
  return {
    name: textOf(one.name ?? '', `${path}.name`),
    zone: textOf(one.zone ?? 'cluster.local', `${path}.zone`),
    podRecords,
    objects,
    namespaces:
      one.namespaces === undefined || one.namespaces === null
        ? [...new Set(objects.map(namespaceOf))]
        : listOf(one.namespaces, `${path}.namespaces`).map((item, index) =>
            readNamespace(item, `${path}.namespaces[${index}]`),
          ),
    queries: listOf(one.queries ?? [], `${path}.queries`).map((query, index) =>
      readQuery(objectOf(query, `${path}.queries[${index}]`), `${path}.queries[${index}]`),
    ),
  }
}

function readQuery(query: Loose, path: string): DnsQuery {
  return {
    name: textOf(query.name, `${path}.name`),
    type: textOf(query.type, `${path}.type`).toUpperCase(),
    rcode: textOf(query.rcode, `${path}.rcode`).toUpperCase(),
    answers: listOf(query.answers ?? [], `${path}.answers`).map((item, index) => {
      const at = `${path}.answers[${index}]`
      const { name, type, data } = objectOf(item, at)
      return {
        name: textOf(name, `${at}.name`),
        type: textOf(type, `${at}.type`).toUpperCase(),
        data: textOf(data, `${at}.data`),
      }
    }),
  }
}

/** A name, or the object. */
function readNamespace(item: unknown, path: string): string {
  if (typeof item === 'string') return item
  return textOf(objectOf(objectOf(item, path).metadata, `${path}.metadata`).name, `${path}.metadata.name`)
}

function namespaceOf(object: ModelObject): string {
  return (object as { metadata?: { namespace?: string } }).metadata?.namespace ?? 'default'
}

function listOf(value: unknown, path: string): readonly unknown[] {
  if (!Array.isArray(value)) throw new ValidationError(path, value, 'a list')
  return value
}

function objectOf(value: unknown, path: string): Loose {
  if (typeof value !== 'object' || value === null) throw new ValidationError(path, value, 'an object')
  return value as Loose
}

function textOf(value: unknown, path: string): string {
  if (typeof value !== 'string') throw new ValidationError(path, value, 'a text')
  return value
}

/** Answers that are the same have the same text. */
export function comparable({ name, type, data }: Expected): string {
  return `${plainName(name)} ${type} ${plainData(type, data)}`
}

function plainData(type: string, data: string): string {
  if (type === 'A' || type === 'AAAA') return canonicalAddress(data) ?? data
  return type === 'TXT' ? data.replace(/^"(.*)"$/, '$1') : plainName(data)
}

export function plainName(name: string): string {
  return name.replace(/\.$/, '').toLowerCase()
}
