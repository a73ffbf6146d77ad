// Output as rows for the screen, whatever pieces it comes in: any chunking of the same text gives the same rows.
//
// Lines are cut at `ROW` characters, so that one of a megabyte costs as little as many short ones. Like a terminal, a
// carriage return begins the line anew (progress bars). Of very long output the newest rows are kept.

import { carried, tokens } from './escapes'

export type Stream = 'stdout' | 'stderr'

export interface Row {
  /** Text and SGR sequences, nothing else that a terminal would obey. */
  text: string
  /** SGR sequences in force where it begins. */
  sgr: string
  stream: Stream
  /** Number of its line, from 1. */
  line: number
  /** It goes on a line that was too long for one row. */
  continued: boolean
}

export const ROW = 400
/** Escape sequences are no characters: a row consists of at most so many with them. */
const ROW_RAW = 4096
export const MAX_ROWS = 200_000

/** A line that is not over: its text so far, and where its rows begin. */
interface Open {
  stream: Stream
  raw: string
  first: number
}

export class Rows {
  /** The newest rows, changed in place. */
  readonly rows: Row[] = []
  /** How many older ones are not kept. */
  dropped = 0
  #line = 0
  #open: Open | undefined
  /** In force after the last complete line of each stream: pipes know nothing of each other. */
  #sgr: Record<Stream, string> = { stdout: '', stderr: '' }

  /** More output, in order of arrival. The other stream's unfinished line is left as it is. */
  append(stream: Stream, text: string): void {
    if (text === '') {
      return
    }
    const lines = (this.#resumed(stream) + text).split('\n')
    const last = lines.pop() ?? ''
    for (const line of this.#skipped(stream, lines)) {
      this.#line += 1
      this.#sgr[stream] = this.#show(stream, line)
    }
    if (last !== '') {
      this.#open = { stream, raw: last, first: this.rows.length }
      this.#line += 1
      this.#show(stream, last)
    }
    this.#forget()
  }

  /** Without those lines that would be forgotten at once; their styles go on. */
  #skipped(stream: Stream, lines: string[]): string[] {
    const count = lines.length - MAX_ROWS
    if (count <= 0) {
      return lines
    }
    for (const line of lines.slice(0, count)) {
      this.#sgr[stream] = stateAfter(line, this.#sgr[stream])
    }
    this.dropped += this.rows.length + count
    this.rows.length = 0
    this.#line += count
    return lines.slice(count)
  }

  /** The text of the unfinished line, whose rows are taken back; an unfinished line of the other stream ends here. */
  #resumed(stream: Stream): string {
    const open = this.#open
    this.#open = undefined
    if (!open) {
      return ''
    }
    this.rows.length = open.first
    if (open.stream === stream) {
      this.#line -= 1
      return open.raw
    }
    this.#sgr[open.stream] = this.#show(open.stream, open.raw)
    return ''
  }

  /** Add the rows of a line; returns what is in force at its end. */
  #show(stream: Stream, raw: string): string {
    const row: Row = { text: raw, sgr: this.#sgr[stream], stream, line: this.#line, continued: false }
    if (raw.length <= ROW && !raw.includes('\x1b') && !raw.includes('\r')) {
      this.rows.push(row)
      return row.sgr
    }
    const [line, sgr] = anew(raw, row.sgr)
    return this.#cut({ ...row, text: '', sgr }, line)
  }

  /** The line in rows of `ROW` characters. */
  #cut(begin: Row, line: string): string {
    let row = begin
    let room = ROW
    let state = begin.sgr
    const next = () => {
      this.rows.push(row)
      row = { ...row, text: '', sgr: state, continued: true }
      room = ROW
    }
    for (const token of tokens(line)) {
      if ('sgr' in token) {
        if (row.text.length + token.sgr.length > ROW_RAW) {
          next()
        }
        state = carried(state, token.sgr)
        row.text += token.sgr
        continue
      }
      for (let from = 0; from < token.text.length; ) {
        if (room <= 0) {
          next()
        }
        const to = wholeCharacters(token.text, Math.min(from + room, token.text.length))
        row.text += token.text.slice(from, to)
        room -= to - from
        from = to
      }
    }
    this.rows.push(row)
    return state
  }

  #forget(): void {
    if (this.rows.length <= MAX_ROWS * 1.1) {
      return
    }
    const gone = this.rows.length - MAX_ROWS
    this.rows.splice(0, gone)
    this.dropped += gone
    if (this.#open) {
      this.#open.first = Math.max(0, this.#open.first - gone)
    }
  }
}

/** What a terminal would still show of a line with carriage returns, and what is in force there. */
function anew(raw: string, sgr: string): [string, string] {
  const line = raw.replace(/\r+$/, '')
  const at = line.lastIndexOf('\r') + 1
  return [line.slice(at), stateAfter(line.slice(0, at), sgr)]
}

/** The SGR sequences in force at the end of `text`. */
function stateAfter(text: string, sgr: string): string {
  if (!text.includes('\x1b')) {
    return sgr
  }
  let state = sgr
  for (const token of tokens(text)) {
    state = 'sgr' in token ? carried(state, token.sgr) : state
  }
  return state
}

/** `at`, or one more where it would cut a surrogate pair. */
function wholeCharacters(text: string, at: number): number {
  const code = text.charCodeAt(at - 1)
  return at < text.length && code >= 0xd800 && code <= 0xdbff ? at + 1 : at
}
