/** What the file system says is an error with a code, and no class of its own. */
export function isFileError(error: unknown): error is NodeJS.ErrnoException {
  return (
    error instanceof Error && typeof (error as NodeJS.ErrnoException).code === 'string' && 'syscall' in error
  )
}

export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
