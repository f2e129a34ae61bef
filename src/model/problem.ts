/** What is wrong with an object, or with what it asks for. */
import type { ValidationError } from '../errors/index.js'
import type { Condition } from './condition.js'
import type { ObjectReference } from './objects.js'

/** A condition of one object. */
export interface ModelProblem extends Condition {
  /** Which one; as far as it can be told of one that is refused. */
  readonly object: ObjectReference
  /** Of an object that was refused (`reason` is `Invalid` then): the path, the value and what would have been right. */
  readonly error?: ValidationError | undefined
}
