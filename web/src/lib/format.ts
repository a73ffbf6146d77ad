// Instants, durations and foreign text, as people read them.

import { stretches } from '../output/stretches'

const STEPS: [Intl.RelativeTimeFormatUnit, number][] = [
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
  ['second', 1],
]
const SHORT: Record<string, string> = { day: 'd', hour: 'h', minute: 'min', second: 's' }

/** "in 5 min", "3 h ago", "now". */
export function relativeTime(instant: string | number | Date, now: number = Date.now()): string {
  const seconds = Math.round((new Date(instant).getTime() - now) / 1000)
  if (Number.isNaN(seconds)) return '—'
  const [unit, length] = STEPS.find(([, size]) => Math.abs(seconds) >= size) ?? ['second', 1]
  const count = Math.round(Math.abs(seconds) / length)
  if (count === 0) return 'now'
  const span = `${count} ${SHORT[unit]}`
  return seconds > 0 ? `in ${span}` : `${span} ago`
}

const EXACT: Intl.DateTimeFormatOptions = {
  weekday: 'short',
  day: 'numeric',
  month: 'short',
  year: 'numeric',
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hourCycle: 'h23',
  timeZoneName: 'short',
}
/** By zone: making one takes longer than a whole row of a table. */
const formats = new Map<string | undefined, Intl.DateTimeFormat>()

function formatOf(zone: string | undefined): Intl.DateTimeFormat {
  let format = formats.get(zone)
  if (!format) {
    try {
      format = new Intl.DateTimeFormat('en-GB', { ...EXACT, timeZone: zone })
    } catch {
      format = formatOf(undefined)
    }
    formats.set(zone, format)
  }
  return format
}

/** "Sat, 28 Nov 2026, 03:00:00 GMT+1"; in `zone` where it is known to the browser. */
export function exactTime(instant: string | number | Date, zone?: string): string {
  const shown = new Date(instant)
  return Number.isNaN(shown.getTime()) ? '—' : formatOf(zone).format(shown)
}

/** "320 ms", "4.2 s", "3 m 20 s", "1 h 5 m", "2 d 3 h". */
export function duration(ms: number | undefined): string {
  if (ms === undefined || !Number.isFinite(ms)) return '—'
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 && ms % 1000 ? 1 : 0)} s`
  const seconds = Math.round(ms / 1000)
  const pair = (big: number, bigUnit: string, small: number, unit: string) =>
    small ? `${big} ${bigUnit} ${small} ${unit}` : `${big} ${bigUnit}`
  if (seconds < 3600) return pair(Math.floor(seconds / 60), 'm', seconds % 60, 's')
  if (seconds < 86_400) return pair(Math.floor(seconds / 3600), 'h', Math.round((seconds % 3600) / 60), 'm')
  return pair(Math.floor(seconds / 86_400), 'd', Math.round((seconds % 86_400) / 3600), 'h')
}

/** Milliseconds between two instants; undefined when one is missing. */
export function between(from: string | undefined, to: string | undefined): number | undefined {
  return from && to ? new Date(to).getTime() - new Date(from).getTime() : undefined
}

/** "12 B", "4.5 KiB", "2 MiB". */
export function bytes(count: number): string {
  if (count < 1024) return `${count} B`
  const unit = count < 1024 ** 2 ? 'KiB' : 'MiB'
  return `${Number((count / (unit === 'KiB' ? 1024 : 1024 ** 2)).toFixed(1))} ${unit}`
}

/** Foreign text with its invisible characters made visible: `⟨U+202E⟩`. */
export function visible(text: string): string {
  return stretches(text)
    .map((each) => (each.mark ? `⟨${each.mark}⟩` : each.text))
    .join('')
}

/** At most `length` characters, the rest as "…". */
export function shorten(text: string, length = 200): string {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text
}
