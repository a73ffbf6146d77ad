import { useSyncExternalStore } from 'react'
import { exactTime, relativeTime } from '../lib/format'
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

/** "in 5 min", with the exact time on hover; `none` when there is none. Renders only when its words change. */
export function Time({ at, zone, none = '—' }: { at: string | undefined; zone?: string; none?: string }) {
  const words = useSyncExternalStore(clock.watch, () => (at ? relativeTime(at, clock.get()) : none))
  if (!at) return <span className="dim">{words}</span>
  return (
    <time dateTime={at} className="time" title={exactTime(at, zone)}>
      {words}
    </time>
  )
}
