// Schedules as a person would say them. cronstrue reads the expression; what it says at length is shortened.

import { toString as cronInWords } from 'cronstrue'
import { duration, exactTime } from './format'
import type { CronMirrorJob } from './rows'

type Scheduled = Pick<CronMirrorJob, 'scheduleKind' | 'scheduleExpr' | 'tz'>

/** "At 03:00, every day · Europe/Berlin", "Every 15 minutes", "Only on request". */
export function scheduleInWords(job: Scheduled): string {
  const zone = scheduleZone(job)
  return zone ? `${scheduleWords(job)} · ${zone}` : scheduleWords(job)
}

/** The same without the zone. */
export function scheduleWords(job: Scheduled): string {
  const expression = job.scheduleExpr ?? ''
  switch (job.scheduleKind) {
    case undefined:
      return 'Only on request'
    case 'startup':
      return 'When the agent starts'
    case 'every':
      return `Every ${period(expression)}`
    case 'at':
      return `Once, ${exactTime(expression, job.tz)}`
    default:
      return cronWords(expression)
  }
}

/** The schedule as it is written, beside its words; undefined where the words say it all. */
export function scheduleExpression(job: Scheduled): string | undefined {
  return job.scheduleKind === 'cron' ? job.scheduleExpr : undefined
}

/** The zone, where the words depend on it. */
export function scheduleZone(job: Scheduled): string | undefined {
  return job.scheduleKind === 'cron' ? job.tz : undefined
}

const PERIODS: [unit: string, ms: number][] = [
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
  ['second', 1000],
]

/** "15 minutes", "hour", "1 h 30 m". */
function period(text: string): string {
  const ms = Number(text)
  if (!(ms > 0)) return text
  const [unit, length] = PERIODS.find(([, size]) => ms % size === 0) ?? ['', 0]
  // Nobody counts 3,661 seconds.
  if (!length || ms / length >= 100) return duration(ms)
  return ms === length ? unit : `${ms / length} ${unit}s`
}

const known = new Map<string, string>()

function cronWords(expression: string): string {
  let words = known.get(expression)
  if (words === undefined) {
    try {
      words = short(expression)
    } catch {
      words = expression
    }
    known.set(expression, words)
  }
  return words
}

function short(expression: string): string {
  const verbose = cronInWords(expression, { use24HourTimeFormat: true, verbose: true })
  // "Every 2 minutes" says it all; "At 03:00" would not without "every day".
  const words = TIME_OF_DAY.test(verbose) ? verbose : cronInWords(expression, { use24HourTimeFormat: true })
  return SHORTER.reduce((text, [long, less]) => text.replace(long, less), words)
}

const TIME_OF_DAY = /^At \d\d:\d\d/
const SHORTER: [long: RegExp, less: (...found: string[]) => string][] = [
  [/^On the hour, every/, () => 'Every'],
  [/^At ([\d, and]+) minutes past the hour(?:, every (\d+ hours))?/, (_, minutes, hours) => `Every ${hours ?? 'hour'} at ${past(minutes)}`],
  [/, between (\d\d:\d\d) and (\d\d:\d\d)/, (_, from, to) => `, ${from}–${to}`],
  [/ through /g, () => ' to '],
  [/, only on /, () => ', every '],
  [/, only in /, () => ', in '],
  [/on day ([\d, and]+) of the month/, (_, days = '') => `on the ${days.replace(/\d+/g, ordinal)} of the month`],
  [/ of the month, in /, () => ' of '],
]

/** "5 and 35" past the hour: ":05 and :35". */
function past(minutes = ''): string {
  return minutes.replace(/\d+/g, (minute) => `:${minute.padStart(2, '0')}`)
}

const ORDINALS: Partial<Record<Intl.LDMLPluralRule, string>> = { one: 'st', two: 'nd', few: 'rd' }
const rules = new Intl.PluralRules('en', { type: 'ordinal' })

function ordinal(day: string): string {
  return `${day}${ORDINALS[rules.select(Number(day))] ?? 'th'}`
}
