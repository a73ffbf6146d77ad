// The output of one run: pieces as they come while it goes on, what its report holds once it is over; everything once.
//
// Pieces count from 0 over both streams, and an empty one is the last. A run that was over at once has none. They are
// kept for an hour after its end, at most 2 MiB; the report has head and tail of each stream for as long as the run.

import { stripped } from './escapes'
import { Rows, type Stream } from './lines'

export interface Piece {
  seq: number
  stream: Stream
  text: string
}

/** What reports hold of a run. */
export interface Report {
  /** The end of both streams as they came. */
  output?: string | null
  /** Head and tail of each; only of the run that ended a request. */
  stdout?: string | null
  stderr?: string | null
}

export type Which = 'all' | Stream

/** How long the last pieces may come after the report. */
export const LATE_MS = 5000

export class Output {
  rows = new Rows()
  /** Grows with every change. */
  version = 0
  /** Where it comes from. */
  source: 'live' | 'report' = 'live'
  which: Which = 'all'
  #pieces: { stream: Stream; text: string }[] = []
  #report: Report = {}
  #next = 0
  #whole = true
  #ended = false
  readonly #listeners = new Set<() => void>()

  /** `seq` of the last piece that came, -1 before the first. */
  get last(): number {
    return this.#next - 1
  }

  /** The last piece has come. */
  get ended(): boolean {
    return this.#ended
  }

  /** All of it is here: from the first piece to the last. */
  get complete(): boolean {
    return this.#ended && this.#whole
  }

  /** Anything is stored, be it an empty text. */
  get stored(): boolean {
    return this.source === 'live' || typeof (this.#report.output ?? this.#report.stdout) === 'string'
  }

  get empty(): boolean {
    return this.rows.rows.length === 0
  }

  /** Whether one stream can be shown without the other. */
  get streams(): boolean {
    return this.source === 'live' || typeof this.#report.stdout === 'string'
  }

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Pieces beyond `last`, in order; those that are here already are passed over. */
  take(pieces: readonly Piece[]): void {
    const fresh = pieces.filter((each) => each.seq >= this.#next)
    for (const each of fresh) {
      this.#whole &&= each.seq === this.#next
      this.#next = each.seq + 1
      this.#ended = each.text === ''
      const before = this.#pieces.at(-1)
      if (before?.stream === each.stream && before.text.length < 65_536) {
        before.text += each.text
      } else if (each.text !== '') {
        this.#pieces.push({ stream: each.stream, text: each.text })
      }
    }
    if (fresh.length > 0 && this.source === 'live') {
      for (const each of joined(fresh)) {
        if (this.which === 'all' || this.which === each.stream) {
          this.rows.append(each.stream, each.text)
        }
      }
      this.#changed()
    }
  }

  /** The run is over and its pieces are not all here: show what its report holds instead. */
  settle(report: Report): void {
    this.source = 'report'
    this.#report = report
    this.#again()
  }

  /** Show one stream, or both. */
  choose(which: Which): void {
    if (which !== this.which) {
      this.which = which
      this.#again()
    }
  }

  /** As it was printed, escape sequences included. */
  raw(): string {
    return this.#shown()
      .map((each) => each.text)
      .join('')
  }

  /** Without escape sequences. */
  text(): string {
    return stripped(this.raw())
  }

  /** The last `count` lines of stderr, for a look at why it failed; "" where it cannot be told from stdout. */
  lastErrors(count: number): string {
    const own = this.source === 'live' ? this.#pieces.filter((each) => each.stream === 'stderr') : []
    const text = this.source === 'live' ? own.map((each) => each.text).join('') : (this.#report.stderr ?? '')
    return text.replace(/\r+\n/g, '\n').trimEnd().split('\n').slice(-count).join('\n')
  }

  #shown(): { stream: Stream; text: string }[] {
    if (this.source === 'live') {
      return this.#pieces.filter((each) => this.which === 'all' || this.which === each.stream)
    }
    const { output, stdout, stderr } = this.#report
    // Of one stream alone there is more than of both together.
    if (this.which === 'all' && output && !(stdout && !stderr) && !(stderr && !stdout)) {
      return [{ stream: 'stdout', text: output }]
    }
    // Error first.
    return (
      [
        ['stderr', stderr],
        ['stdout', stdout],
      ] as const
    )
      .filter(([stream, text]) => text && (this.which === 'all' || this.which === stream))
      .map(([stream, text]) => ({ stream, text: text ?? '' }))
  }

  #again(): void {
    this.rows = new Rows()
    for (const each of this.#shown()) {
      this.rows.append(each.stream, each.text)
    }
    this.#changed()
  }

  #changed(): void {
    this.version += 1
    for (const listener of this.#listeners) {
      listener()
    }
  }
}

/** Neighbours of one stream as one: rows are made of them at once. */
function joined(pieces: readonly Piece[]): { stream: Stream; text: string }[] {
  const found: { stream: Stream; text: string }[] = []
  for (const { stream, text } of pieces) {
    const before = found.at(-1)
    if (before?.stream === stream) {
      before.text += text
    } else {
      found.push({ stream, text })
    }
  }
  return found
}
