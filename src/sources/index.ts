/** Where desired objects come from: a program, or files. */
export { FileSource, type FileSourceOptions } from './files.js'
export { MemorySource, type MemorySourceOptions } from './memory.js'
export { formatReference, keyOf, referenceOf } from './reference.js'
export type {
  Source,
  SourceEvent,
  SourceList,
  SourceOptions,
  SourcePlace,
  SourceProblem,
  StatusWriter,
} from './source.js'
export type {
  KubernetesObject,
  ModelObject,
  ObjectKind,
  ObjectReference,
  SelectorInput,
  ServerInput,
  ServiceInput,
  ServicePortInput,
} from '../model/index.js'
