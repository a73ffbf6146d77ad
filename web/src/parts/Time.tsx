import { useSyncExternalStore } from 'react'
import { duration, exactTime, relativeTime } from '../lib/format'
import { nextRun } from '../lib/jobs'
import type { CronMirrorJob } from '../lib/rows'
import { store, useValue } from '../lib/store'
import { serverNow } from '../lib/supabase'

/** One clock for the whole page, the server's: ticks once a second while the page is seen. */
const clock = store(serverNow())
setInterval(() => {
  if (document.visibilityState === 'visible') clock.set(serverNow())
}, 1000)
document.addEventListener('visibilitychange', () => clock.set(serverNow()))

/** The time now, to the second: renders every second. */
export function useNow(): number {
  return useValue(clock)
}

/** The exact time, only when it is looked for: writing it out costs more than all the rest of a row. */
function tell(element: HTMLElement, at: string | undefined, zone: string | undefined): void {
  if (at) element.title = exactTime(at, zone)
}

/** "in 5 min", with the exact time on hover; `none` when there is none. Renders only when its words change. */
export function Time({ at, zone, none = '—' }: { at: string | undefined; zone?: string; none?: string }) {
  const words = useSyncExternalStore(clock.watch, () => (at ? relativeTime(at, clock.get()) : none))
  if (!at) return <span className="dim">{words}</span>
  return (
    <time dateTime={at} className="time" onMouseEnter={(event) => tell(event.currentTarget, at, zone)}>
      {words}
    </time>
  )
}

/** When a job runs next, in words; renders only when they change. */
export function NextRun({ job }: { job: CronMirrorJob }) {
  const words = useSyncExternalStore(clock.watch, () => {
    const { at, overdue } = nextRun(job, clock.get())
    return at ? `${overdue ? 'due ' : ''}${relativeTime(at, clock.get())}` : ''
  })
  if (!words || !job.nextRunAt) return <span className="dim">—</span>
  return (
    <time
      dateTime={job.nextRunAt}
      className="time"
      onMouseEnter={(event) => tell(event.currentTarget, nextRun(job, clock.get()).at ?? job.nextRunAt, job.tz)}
    >
      {words}
    </time>
  )
}

/** How long it has been going on, to the second. */
export function Elapsed({ since }: { since: string | undefined }) {
  const words = useSyncExternalStore(clock.watch, () => {
    if (!since) return ''
    const seconds = Math.floor((clock.get() - new Date(since).getTime()) / 1000)
    return seconds > 0 ? duration(seconds * 1000) : '0 s'
  })
  return <span className="time">{words}</span>
}
