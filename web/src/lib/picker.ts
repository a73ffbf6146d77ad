/** Choosing one of many small marks in a row, by arrow keys or by pointing near it. Pure; the hook is in parts/Picker. */

/** The index after a key, or null where the key means nothing here. Home and End go to the ends. */
export function picked(key: string, active: number | null, count: number): number | null {
  if (count === 0) return null
  const last = count - 1
  switch (key) {
    case 'ArrowRight':
    case 'ArrowDown':
      return active === null ? 0 : Math.min(active + 1, last)
    case 'ArrowLeft':
    case 'ArrowUp':
      return active === null ? last : Math.max(active - 1, 0)
    case 'Home':
      return 0
    case 'End':
      return last
    default:
      return null
  }
}

export interface Extent {
  x: number
  width: number
}

/** What was chosen: which mark, and where it stood. */
export interface Choice {
  key: string
  x: number
}

/**
 * Where the chosen mark is now: rows are drawn anew with every run that begins or ends, and marks join others. One that
 * is there no more leaves the choice to what stands nearest to its place; null when there is nothing to choose.
 */
export function kept(marks: (Extent & { key: string })[], choice: Choice | null): number | null {
  if (!choice || marks.length === 0) return null
  const same = marks.findIndex(({ key }) => key === choice.key)
  return same >= 0 ? same : nearest(marks, choice.x, Number.POSITIVE_INFINITY)
}

/** The mark at or nearest to `x`, no farther than `reach` from it; all are shares of the row's width. */
export function nearest(marks: Extent[], x: number, reach: number): number | null {
  let found: number | null = null
  let least = reach
  marks.forEach((mark, index) => {
    const distance = Math.max(mark.x - x, x - (mark.x + mark.width), 0)
    if (distance <= least && !(distance === least && found !== null && distance > 0)) {
      found = index
      least = distance
    }
  })
  return found
}
