/** Services: what they are to be, and what keeps the kernel at it. `viaduct/services`. */
export * from '../model/index.js'
export * from '../dataplane/index.js'
export * from '../reconciler/index.js'
