/** What every reader of objects needs. Nothing here builds a path or a closure unless something is wrong. */
import { ValidationError } from '../errors/index.js'

/** An object of which nothing is known. */
export type Loose = Readonly<Record<string, unknown>>

/** @throws ValidationError always */
export function fail(path: string, value: unknown, expected: string): never {
  throw new ValidationError(path, value, expected)
}

export function isObject(value: unknown): value is Loose {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A port that something can listen on. */
export function isPort(value: unknown): value is number {
  return typeof value === 'number' && value >= 1 && value <= 65535 && Number.isInteger(value)
}

const subdomain = /^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$/
const label = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/

/** A name as Kubernetes' objects have it: a DNS subdomain. None holds a slash or a colon, which keys are joined with. */
export function isName(value: unknown): value is string {
  return typeof value === 'string' && value.length <= 253 && subdomain.test(value)
}

/** A DNS label: names of services, namespaces and ports. */
export function isLabel(value: unknown): value is string {
  return typeof value === 'string' && value.length <= 63 && label.test(value)
}

export const expectedName = 'a name of lower-case letters, digits, "-" and ".", at most 253'
export const expectedLabel = 'a name of lower-case letters, digits and "-", at most 63'
export const expectedPort = 'a port from 1 to 65535'

const none: readonly never[] = []

/** A list that may be left out. */
export function listOf(value: unknown, path: string): readonly unknown[] {
  if (value === undefined || value === null) return none
  return Array.isArray(value) ? value : fail(path, value, 'a list')
}

/** The same list without the room that `push` leaves for more: lists that are kept are many and short. */
export function compact<T>(list: T[]): T[] {
  return list.length < 16 ? list.slice() : list
}

/** An object that may be left out. */
export function objectOf(value: unknown, path: string): Loose | undefined {
  if (value === undefined || value === null) return undefined
  return isObject(value) ? value : fail(path, value, 'an object')
}

/** Yes or no, or what is meant where nothing is said. */
export function booleanOf(value: unknown, path: string, otherwise: boolean): boolean {
  if (value === undefined || value === null) return otherwise
  return typeof value === 'boolean' ? value : fail(path, value, 'true or false')
}

/** A string that may be left out; an empty one says nothing, too. */
export function textOf(value: unknown, path: string): string | undefined {
  if (value === undefined || value === null || value === '') return undefined
  return typeof value === 'string' ? value : fail(path, value, 'a string')
}

/** What `metadata` says of an object. */
export interface Metadata {
  readonly namespace: string
  readonly name: string
  readonly labels: Loose | undefined
  readonly annotations: Loose | undefined
  /** An API server has stored it, and so has validated it. */
  readonly isStored: boolean
  /** RFC 3339, which sorts as text; undefined where nobody says when it was made. */
  readonly createdAt: string | undefined
  readonly isDeleted: boolean
}

/** @throws ValidationError with a path in the object */
export function readMetadata(object: Loose, nameIs: (value: unknown) => boolean = isName): Metadata {
  const { metadata } = object
  if (!isObject(metadata)) fail('metadata', metadata, 'an object with a name')
  const { name, namespace, uid, creationTimestamp, deletionTimestamp } = metadata
  if (!nameIs(name)) fail('metadata.name', name, nameIs === isLabel ? expectedLabel : expectedName)
  if (namespace !== undefined && namespace !== '' && !isLabel(namespace)) {
    fail('metadata.namespace', namespace, expectedLabel)
  }
  return {
    namespace: namespace || 'default',
    name: name as string,
    labels: objectOf(metadata.labels, 'metadata.labels'),
    annotations: objectOf(metadata.annotations, 'metadata.annotations'),
    isStored: typeof uid === 'string' && uid !== '',
    createdAt:
      typeof creationTimestamp === 'string' && creationTimestamp !== '' ? creationTimestamp : undefined,
    isDeleted: deletionTimestamp !== undefined && deletionTimestamp !== null,
  }
}
