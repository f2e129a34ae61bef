/** Looks for what others have changed: IPVS tells nobody of it. */
const leastPauseMilliseconds = 100
/** Looking takes at most this share of the time. */
const share = 100

export interface Look {
  /** Whether everything is as this process has left it. */
  readonly look: () => Promise<boolean>
  readonly changed: () => void
}

/** Tells each time that something differs which was as it should be at the look before. Returns what calls it off. */
export function watchKernel({ look, changed }: Look): () => void {
  let isOver = false
  let wasTold = false
  let timer: NodeJS.Timeout | undefined
  const next = (pause: number): void => {
    if (!isOver) timer = setTimeout(() => void turn(), pause)
  }
  const turn = async (): Promise<void> => {
    const start = performance.now()
    // What cannot be read now may be read the next time.
    const isSame = await look().catch(() => undefined)
    if (isOver) return
    if (isSame === false && !wasTold) changed()
    if (isSame !== undefined) wasTold = !isSame
    next(Math.max(leastPauseMilliseconds, share * (performance.now() - start)))
  }
  next(leastPauseMilliseconds)
  return () => {
    isOver = true
    clearTimeout(timer)
  }
}
