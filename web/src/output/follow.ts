// Keeps an Output current: live pieces once a second while its run goes on, to the last of them, else its report.

import { LATE_MS, type Output, type Piece, type Report } from './output'

export interface Source {
  /** Pieces after `seq`, in order; a full page says so. */
  read: (after: number) => Promise<{ pieces: Piece[]; full: boolean }>
  /** Whether the run has ended. */
  over: () => boolean
  /** What is stored of it. */
  report: () => Promise<Report>
  wait: (ms: number, signal: AbortSignal) => Promise<void>
  now: () => number
  /** Whether the last reading was answered. */
  reached: (reached: boolean) => void
}

export const READ_EVERY_MS = 1000
const HURRY_MS = 250

/** Until all of it is there, or `signal` says stop. A reading that fails is tried again: what is shown stays. */
export async function follow(output: Output, source: Source, signal: AbortSignal): Promise<void> {
  let over: number | undefined
  while (!signal.aborted) {
    if (source.over()) over ??= source.now()
    const read = await attempt(source, async () => {
      const { pieces, full } = await source.read(output.last)
      if (!signal.aborted) output.take(pieces)
      return full
    })
    if (signal.aborted || output.complete) return
    if (read === 'full') continue
    if (over !== undefined && read === 'all' && (output.last < 0 || output.ended || source.now() - over >= LATE_MS)) {
      const settled = await attempt(source, async () => {
        const report = await source.report()
        if (!signal.aborted) output.settle(report)
        return false
      })
      if (settled === 'all') return
    }
    await source.wait(over === undefined ? READ_EVERY_MS : HURRY_MS, signal)
  }
}

async function attempt(source: Source, ask: () => Promise<boolean>): Promise<'full' | 'all' | 'failed'> {
  try {
    const full = await ask()
    source.reached(true)
    return full ? 'full' : 'all'
  } catch {
    source.reached(false)
    return 'failed'
  }
}
