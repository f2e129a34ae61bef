/** Names of objects. */
import { ValidationError } from '../errors/index.js'
import type { ModelObject, ObjectKind, ObjectReference } from '../model/index.js'

/** Kinds that are ours, and the version of Kubernetes' API that each is taken in. */
export const apiVersions: Readonly<Record<ObjectKind, string>> = {
  Service: 'v1',
  EndpointSlice: 'discovery.k8s.io/v1',
  Endpoints: 'v1',
  Pod: 'v1',
  Node: 'v1',
}

/** Is it the name of a kind that is ours? */
export function isObjectKind(kind: unknown): kind is ObjectKind {
  return typeof kind === 'string' && Object.hasOwn(apiVersions, kind)
}

/**
 * What names an object.
 *
 * @throws ValidationError if it has no name, or a kind that is none of ours
 */
export function referenceOf(object: ModelObject): ObjectReference {
  if (!('kind' in object)) return named('Service', object.name, object.namespace, '')
  const { kind, metadata } = object
  if (!isObjectKind(kind))
    throw new ValidationError('kind', kind, `one of ${Object.keys(apiVersions).join(', ')}`)
  return named(kind, metadata?.name, metadata?.namespace, 'metadata.')
}

function named(kind: ObjectKind, name: unknown, namespace: unknown, path: string): ObjectReference {
  if (typeof name !== 'string' || name === '') throw new ValidationError(`${path}name`, name, 'a name')
  if (kind === 'Node') return { kind, name }
  if (namespace !== undefined && (typeof namespace !== 'string' || namespace === ''))
    throw new ValidationError(`${path}namespace`, namespace, 'the name of a namespace')
  return { kind, namespace: namespace ?? 'default', name }
}

/** The same text for the same object, and for no other. */
export function keyOf({ kind, namespace, name }: ObjectReference): string {
  return JSON.stringify([kind, kind === 'Node' ? '' : (namespace ?? 'default'), name])
}

/** As people write it: `Service default/web`. */
export function formatReference({ kind, namespace, name }: ObjectReference): string {
  return namespace === undefined ? `${kind} ${name}` : `${kind} ${namespace}/${name}`
}
