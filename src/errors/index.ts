/** Every error that viaduct throws, and the guards that recognise them. Pure: nothing here knows a socket. */
export { BatchError, type BatchFailure, isBatchError } from './batch.js'
export { isKernelError, KernelError, type KernelErrorDetails } from './kernel.js'
export { isMalformedMessageError, MalformedMessageError } from './malformed.js'
export { errnoCode, errnoText } from './errno.js'
export { isUnsupportedError, UnsupportedError } from './unsupported.js'
export { isValidationError, ValidationError } from './validation.js'
