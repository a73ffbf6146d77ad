// The output of a run as a terminal would show it, without obeying it. Draws only the rows in view, so that lines of a
// megabyte and outputs of ten cost what a short one does.

import { useVirtualizer } from '@tanstack/react-virtual'
import { type KeyboardEvent, memo, useCallback, useEffect, useLayoutEffect, useRef, useSyncExternalStore } from 'react'
import { type Rgb, spans } from '../output/ansi'
import type { Row } from '../output/lines'
import type { Output } from '../output/output'
import { stretches } from '../output/stretches'
import classes from './OutputView.module.css'

const ROW_PX = 20
/** What a character takes, and the numbers before the rows: for an estimate that is made exact once a row is drawn. */
const CHARACTER_PX = 7.83
const NUMBERS_PX = 75
/** This near to the end counts as the end. */
const NEAR_PX = 30

interface Props {
  output: Output
  /** Name of the region, for those who do not see it. */
  label: string
  wrap: boolean
  following: boolean
  /** The person scrolled away from the end, or to it. */
  onFollow: (following: boolean) => void
  /** Index of the row to show, where something was searched for. */
  found?: number
  /** Where to begin: an output that is over is read from its begin, one that failed from its end. */
  beginAtEnd: boolean
}

export function OutputView({ output, label, wrap, following, onFollow, found, beginAtEnd }: Props) {
  useSyncExternalStore(output.subscribe, () => output.version)
  const { rows, dropped } = output.rows
  const screen = useRef<HTMLElement>(null)
  const virtualizer = useVirtualizer({
    count: rows.length,
    getScrollElement: () => screen.current,
    estimateSize: (index) => (wrap ? wrappedHeight(rows[index], screen.current) : ROW_PX),
    getItemKey: useCallback((index: number) => dropped + index, [dropped]),
    overscan: 12,
    anchorTo: following ? 'end' : 'start',
    followOnAppend: following,
    scrollEndThreshold: NEAR_PX,
  })
  useToTheEnd(virtualizer, following, beginAtEnd && rows.length > 0)
  useEffect(() => {
    if (found !== undefined) virtualizer.scrollToIndex(found, { align: 'center' })
  }, [virtualizer, found])

  const before = useRef(0)
  const scrolled = () => {
    if (!screen.current) return
    const { scrollTop: now, scrollHeight, clientHeight } = screen.current
    const atEnd = scrollHeight - now - clientHeight <= NEAR_PX
    if (now < before.current && !atEnd && following) onFollow(false)
    if (now > before.current && atEnd && !following) onFollow(true)
    before.current = now
  }
  // The browser's own End leads to where the end was thought to be before its rows were drawn.
  const toEnd = (event: KeyboardEvent) => {
    if (event.key !== 'End') return
    event.preventDefault()
    virtualizer.scrollToEnd()
  }
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard (WCAG 2.1.1)
    <section ref={screen} className={classes.screen} aria-label={label} tabIndex={0} onScroll={scrolled} onKeyDown={toEnd}>
      {dropped > 0 && <div className={classes.note}>{dropped.toLocaleString()} older lines are not shown; the download has them.</div>}
      <div className={`${classes.inner} ${wrap ? classes.wrapped : ''}`} style={{ height: virtualizer.getTotalSize() }}>
        {virtualizer.getVirtualItems().map((item) => {
          const row = rows[item.index]
          return (
            row && (
              <div
                key={item.key}
                ref={virtualizer.measureElement}
                className={classes.row}
                data-index={item.index}
                data-line={row.continued ? '' : row.line}
                data-stream={row.stream}
                data-found={item.index === found || undefined}
                style={{ transform: `translateY(${item.start}px)` }}
              >
                <RowText row={row} />
              </div>
            )
          )
        })}
      </div>
    </section>
  )
}

function wrappedHeight(row: Row | undefined, screen: HTMLElement | null): number {
  const columns = Math.max(10, Math.floor(((screen?.clientWidth ?? 0) - NUMBERS_PX) / CHARACTER_PX))
  return ROW_PX * Math.max(1, Math.ceil((row?.text.length ?? 0) / columns))
}

/** To the end when it is followed (again), and once where it should begin there. */
function useToTheEnd(virtualizer: { scrollToEnd: (options?: object) => void }, following: boolean, begin: boolean) {
  const begun = useRef(false)
  useLayoutEffect(() => {
    if (following || (begin && !begun.current)) virtualizer.scrollToEnd()
    begun.current ||= begin
  }, [virtualizer, following, begin])
}

const RowText = memo(function RowText({ row }: { row: Row }) {
  return (
    <span className={classes.text}>
      {spans(row.text, row.sgr).map((span, index) => {
        const decoration = [span.underline && 'underline', span.strike && 'line-through'].filter(Boolean).join(' ')
        return (
          <span
            // biome-ignore lint/suspicious/noArrayIndexKey: spans have no identity but their place
            key={index}
            style={{
              color: css(span.color),
              backgroundColor: css(span.background),
              fontWeight: span.bold ? 700 : undefined,
              fontStyle: span.italic ? 'italic' : undefined,
              textDecoration: decoration || undefined,
            }}
          >
            <Visible text={span.text} />
          </span>
        )
      })}
    </span>
  )
})

/** Text in which nothing is hidden: what would be is marked. */
function Visible({ text }: { text: string }) {
  return stretches(text).map((each, index) =>
    each.mark ? (
      // biome-ignore lint/suspicious/noArrayIndexKey: stretches have no identity but their place
      <span key={index} className={classes.mark} title={each.mark}>
        {each.text}
      </span>
    ) : (
      each.text
    ),
  )
}

function css(color: Rgb | undefined): string | undefined {
  return color && `rgb(${color.join(' ')})`
}
