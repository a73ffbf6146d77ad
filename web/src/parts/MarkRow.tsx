// A row of many small marks on a line of time: one stop of the Tab key, arrow keys walk along the marks, Enter opens one.
// Marks are too small to be targets of their own (WCAG 2.5.8), so the whole row is one.

import { type KeyboardEvent, type PointerEvent, useId, useRef, useState } from 'react'
import { navigate } from '../lib/hash'
import { type Choice, type Extent, kept, nearest, picked } from '../lib/picker'
import classes from './Marks.module.css'

/** How near a pointer must come to a mark, in pixels. */
const REACH_PX = 12

export interface RowMark extends Extent {
  key: string
  /** Chooses its look: a run's status, `slot`, `queued`. */
  status: string
  /** In words: for the tip and for who does not see the mark. */
  label: string
  /** Height as a share of the row's; by status where it is left out. */
  height?: number
  /** The route that it opens. */
  to?: string
}

interface Props {
  label: string
  marks: RowMark[]
  className?: string
  /** Said and shown where there is no mark. */
  empty: string
}

/** The marks of a row, to choose from. Grid lines and such are drawn by who places it. */
export function MarkRow({ label, marks, className = '', empty }: Props) {
  const id = useId()
  const { active, events } = usePicker(marks)
  if (marks.length === 0) return <div className={`${classes.marks} ${classes.empty} ${className}`}>{empty}</div>
  const chosen = active === null ? undefined : marks[active]
  return (
    <div
      className={`${classes.marks} ${className}`}
      role="listbox"
      aria-orientation="horizontal"
      aria-label={label}
      aria-activedescendant={chosen && `${id}-${active}`}
      tabIndex={0}
      {...events}
    >
      {marks.map((mark, index) => (
        <span
          key={mark.key}
          id={`${id}-${index}`}
          role="option"
          aria-selected={index === active}
          aria-label={mark.label}
          className={classes.mark}
          data-status={mark.status}
          style={{ left: percent(mark.x), width: percent(mark.width), ...(mark.height !== undefined && { height: percent(mark.height) }) }}
        />
      ))}
      {chosen && <Tip mark={chosen} />}
    </div>
  )
}

function percent(share: number): string {
  return `${(share * 100).toFixed(3)}%`
}

/** Says what the chosen mark is; the option's own name says the same to a screen reader. */
function Tip({ mark }: { mark: RowMark }) {
  const middle = mark.x + mark.width / 2
  return (
    <span
      className={classes.tip}
      aria-hidden="true"
      style={{ left: percent(middle), transform: `translateX(-${(middle * 100).toFixed(0)}%)` }}
    >
      {mark.label}
    </span>
  )
}

/** Which mark is chosen; an update of the row leaves the choice where it is. Where there is no hover, the first tap shows what a mark is and the second opens it. */
function usePicker(marks: RowMark[]) {
  const [choice, setChoice] = useState<Choice | null>(null)
  const active = kept(marks, choice)
  const setActive = (index: number | null) => {
    const mark = index === null ? undefined : marks[index]
    setChoice(mark ? { key: mark.key, x: mark.x } : null)
  }
  const tapped = useRef<string | undefined>(undefined)
  const near = (event: PointerEvent<HTMLElement>) => {
    const { left, width } = event.currentTarget.getBoundingClientRect()
    return nearest(marks, (event.clientX - left) / width, REACH_PX / width)
  }
  const open = (index: number | null) => {
    const target = index === null ? undefined : marks[index]?.to
    if (target) navigate(target)
  }
  const events = {
    onKeyDown(event: KeyboardEvent) {
      if (event.key === 'Enter' || event.key === ' ') {
        event.preventDefault()
        open(active)
      } else if (event.key === 'Escape') setActive(null)
      else {
        const next = picked(event.key, active, marks.length)
        if (next === null || event.altKey || event.ctrlKey || event.metaKey) return
        event.preventDefault()
        setActive(next)
      }
    },
    onPointerMove: (event: PointerEvent<HTMLElement>) => event.pointerType === 'mouse' && setActive(near(event)),
    onPointerLeave: (event: PointerEvent<HTMLElement>) => event.pointerType === 'mouse' && setActive(null),
    onPointerUp(event: PointerEvent<HTMLElement>) {
      const index = near(event)
      const key = index === null ? undefined : marks[index]?.key
      if (event.pointerType === 'mouse' || (key && key === tapped.current)) open(index)
      tapped.current = key
      setActive(index)
    },
    onBlur() {
      tapped.current = undefined
      setActive(null)
    },
  }
  return { active, events }
}
