/** Where commands read and write. */

export interface Output {
  write(chunk: Uint8Array | string, done: (error?: Error | null) => void): unknown
}

/** Where a command reads and writes; `process` is one. */
export interface Streams {
  readonly stdin: AsyncIterable<Uint8Array | string>
  readonly stdout: Output
  readonly stderr: Output
}

/** Rejects with EPIPE if nobody reads any more. */
export function write(output: Output, chunk: Uint8Array | string): Promise<void> {
  return new Promise((resolve, reject) => {
    output.write(chunk, (error) => {
      if (error) reject(error)
      else resolve()
    })
  })
}

const pieceLength = 1 << 16

/** Lines, written in pieces: of 100,000 each by itself takes a system call. */
export class Lines {
  readonly #output: Output
  #piece = ''

  constructor(output: Output) {
    this.#output = output
  }

  /** Without its end. Undefined if it need not be waited for. */
  add(line: string): Promise<void> | undefined {
    this.#piece += `${line}\n`
    return this.#piece.length < pieceLength ? undefined : this.flush()
  }

  async flush(): Promise<void> {
    const piece = this.#piece
    this.#piece = ''
    if (piece !== '') await write(this.#output, piece)
  }
}
