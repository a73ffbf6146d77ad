// The list of jobs: sorted by TanStack Table, of which TanStack Virtual draws only the rows in sight.

import { type SortingState, useTable } from '@tanstack/react-table'
import { defaultRangeExtractor, type Range, useVirtualizer } from '@tanstack/react-virtual'
import { type FocusEvent, type KeyboardEvent, useCallback, useMemo, useRef, useState } from 'react'
import { flushSync } from 'react-dom'
import { navigate, to } from '../../lib/hash'
import { type JobState, stateOf } from '../../lib/jobs'
import { picked } from '../../lib/picker'
import type { CronMirrorJob } from '../../lib/rows'
import { Icon } from '../icons'
import { columnsFor, features } from './columns'
import { JobRow } from './JobRow'

const ROW_PX = 60
const CARD_PX = 188
const PAGE = 10
const RESTING = new Map<string, JobState>()

interface Props {
  jobs: CronMirrorJob[]
  active: Map<string, JobState>
  operator: boolean
  /** Cards instead of rows. */
  narrow: boolean
  sorting: SortingState
  onSort: (sorting: SortingState) => void
}

export function JobTable({ jobs, active, operator, narrow, sorting, onSort }: Props) {
  // What jobs are doing changes all the time; the order follows it only when it is by status.
  const followed = sorting[0]?.id === 'status' ? active : RESTING
  const columns = useMemo(() => columnsFor(followed), [followed])
  const table = useTable({
    features,
    columns,
    data: jobs,
    state: { sorting },
    onSortingChange: (change) => onSort(typeof change === 'function' ? change(sorting) : change),
    enableSortingRemoval: false,
    getRowId: (job: CronMirrorJob) => job.id,
  })
  const rows = table.getRowModel().rows
  const scroller = useRef<HTMLDivElement>(null)
  // By its id: an update may put it elsewhere. It stays drawn wherever that is, so that it keeps the focus.
  const [at, setAt] = useState<string>()
  const place = useMemo(() => rows.findIndex((row) => row.id === at), [rows, at])
  const rangeExtractor = useCallback(
    (range: Range) => {
      const seen = defaultRangeExtractor(range)
      return place < 0 || seen.includes(place) ? seen : [...seen, place].sort((a, b) => a - b)
    },
    [place],
  )
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => (narrow ? CARD_PX : ROW_PX),
    getItemKey: (index) => rows[index]?.id ?? index,
    overscan: 8,
    rangeExtractor,
  })

  const focusRow = useCallback(
    (index: number) => {
      const wanted = Math.max(0, Math.min(index, rows.length - 1))
      // Drawn and focused before the next key: a frame later, a quick Enter would still be the old row's.
      flushSync(() => setAt(rows[wanted]?.id))
      scroller.current?.querySelector<HTMLElement>(`[data-index="${wanted}"]`)?.focus({ preventScroll: true })
      virtual.scrollToIndex(wanted)
    },
    [rows, virtual],
  )
  const onFocus = (event: FocusEvent<HTMLElement>) => {
    const row = event.target.closest<HTMLElement>('[data-index]')
    if (row) setAt(rows[Number(row.dataset.index)]?.id)
  }
  const onKeyDown = (event: KeyboardEvent<HTMLElement>) => {
    const target = event.target as HTMLElement
    const row = target.closest<HTMLElement>('[data-index]')
    if (!row || event.ctrlKey || event.metaKey || event.altKey) return
    if (alongRuns(event.key, row, target)) event.preventDefault()
    if (event.defaultPrevented || target !== row) return
    const wanted = moved(event.key, Number(row.dataset.index), rows.length)
    if (wanted !== undefined) focusRow(wanted)
    else if (!act(event.key, row)) return
    event.preventDefault()
  }

  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the rows take the focus, this only hears of it and of their keys
    <div ref={scroller} className="jobs" data-narrow={narrow || undefined} onKeyDown={onKeyDown} onFocus={onFocus}>
      <div role="table" aria-label="Jobs" aria-rowcount={rows.length + 1}>
        <div role="rowgroup" className="jobs-head">
          <div role="row" aria-rowindex={1} className="jobs-row">
            {table.getHeaderGroups()[0]?.headers.map(({ id, column }) => (
              <div
                key={id}
                role="columnheader"
                className={`jobs-${id}`}
                aria-sort={column.getIsSorted() ? (column.getIsSorted() === 'desc' ? 'descending' : 'ascending') : undefined}
              >
                {column.getCanSort() ? (
                  <button type="button" onClick={() => column.toggleSorting()}>
                    {String(column.columnDef.header)}
                    {column.getIsSorted() && <Icon name={column.getIsSorted() === 'desc' ? 'down' : 'up'} size={12} />}
                  </button>
                ) : (
                  String(column.columnDef.header) || <span className="unseen">Actions</span>
                )}
              </div>
            ))}
          </div>
        </div>
        <div role="rowgroup" style={{ height: virtual.getTotalSize(), position: 'relative' }}>
          {virtual.getVirtualItems().map((item) => {
            const job = rows[item.index]?.original
            return (
              job && (
                <JobRow
                  key={item.key}
                  job={job}
                  state={stateOf(job, active)}
                  operator={operator}
                  narrow={narrow}
                  index={item.index}
                  top={item.start}
                  reachable={item.index === Math.max(place, 0)}
                  scrolling={virtual.isScrolling}
                  measure={narrow ? virtual.measureElement : undefined}
                />
              )
            )
          })}
        </div>
      </div>
    </div>
  )
}

/** Where this key leads from the row at `index`; undefined when it leads nowhere. */
function moved(key: string, index: number, count: number): number | undefined {
  switch (key) {
    case 'ArrowDown':
      return index + 1
    case 'ArrowUp':
      return index - 1
    case 'PageDown':
      return index + PAGE
    case 'PageUp':
      return index - PAGE
    case 'Home':
      return 0
    case 'End':
      return count - 1
    default:
      return undefined
  }
}

/** The arrows to the sides go from the row to its newest run and along its strip, Escape back to the row. False for other keys. */
function alongRuns(key: string, row: HTMLElement, target: HTMLElement): boolean {
  const runs = [...row.querySelectorAll<HTMLElement>('.strip a')]
  const at = runs.indexOf(target)
  if (at < 0 && target !== row) return false
  if (at >= 0 && key === 'Escape') row.focus()
  else if (at < 0 && (key === 'ArrowLeft' || key === 'ArrowRight')) runs.at(-1)?.focus()
  else if (at >= 0) {
    const next = picked(key, at, runs.length)
    if (next === null) return false
    runs[next]?.focus()
  } else return false
  return true
}

/** Do what this key does to the row: run, cancel, open. False when it does nothing. */
function act(key: string, row: HTMLElement): boolean {
  if (key === 'Enter') navigate(to.job(row.dataset.job ?? ''))
  else if (key === 'r' || key === 'c') row.querySelector<HTMLElement>(key === 'r' ? '[data-run]' : '[data-cancel]')?.click()
  else return false
  return true
}
