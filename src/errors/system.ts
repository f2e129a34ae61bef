/** What the file system and sockets of Node say is an error with a code, and no class of its own. Not for users of the package. */
export function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return (
    error instanceof Error && typeof (error as NodeJS.ErrnoException).code === 'string' && 'syscall' in error
  )
}
