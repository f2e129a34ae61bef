/** Keeps a dataplane at what is desired. */
export {
  Reconciler,
  type ReconcilerCounts,
  type ReconcilerOptions,
  type ServiceStatus,
} from './reconciler.js'
export { joinShapers, type ServiceShaper } from './shaper.js'
