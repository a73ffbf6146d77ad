// Finding words in rows, for what the browser's own search cannot see: rows that are not drawn. Pure.

import { stripped } from './escapes'
import type { Row } from './lines'

/** Indices of the rows that contain `words`, letter case aside; at most `limit`. */
export function find(rows: readonly Row[], words: string, limit = 10_000): number[] {
  const wanted = words.toLowerCase()
  const found: number[] = []
  if (wanted === '') return found
  for (let index = 0; index < rows.length && found.length < limit; index += 1) {
    if (
      stripped(rows[index]?.text ?? '')
        .toLowerCase()
        .includes(wanted)
    )
      found.push(index)
  }
  return found
}
