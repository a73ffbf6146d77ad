// How a request or a run came to its end, moment by moment, and how long each stage took. Pure.
//
// Two clocks: asked, claimed and reported are the server's, started and finished the agent's. Where they contradict
// each other a stage is 0 and the moment says so.

import { neverBegan } from './reasons'

export type Stage = 'hold' | 'queue' | 'start' | 'run' | 'backoff' | 'report' | 'record'

export interface Moment {
  key: string
  label: string
  /** Milliseconds since 1970; undefined: it has not come yet. */
  at?: number
  /** What lay between the moment before and this one, and how long; the last may go on. */
  stage?: Stage
  ms?: number
  /** The clocks of agent and server contradict each other here. */
  skewed?: boolean
}

export interface Asked {
  status: string
  requestedAt: string
  runAt?: string | null
  pickedUpAt?: string | null
  completedAt?: string | null
}

export interface Attempt {
  status: string
  trigger: string
  attempt: number
  scheduledFor?: string | null
  startedAt?: string | null
  finishedAt?: string | null
}

/** What a request that may begin later was told, in ms: less is the way of the call. */
const HELD_MS = 1000
/** Clocks that differ by less say nothing. */
const SKEW_MS = 50

/** The moments of a request with its attempts (the first one first), or of one run without a request. */
export function journey(asked: Asked | undefined, attempts: readonly Attempt[], now: number): Moment[] {
  const path = new Path(now)
  if (asked) {
    begin(path, asked, attempts)
  } else if (attempts[0]?.scheduledFor) {
    path.add('due', attempts[0].trigger === 'catch_up' ? 'Due, missed' : 'Due', attempts[0].scheduledFor)
  }
  const several = attempts.length > 1 || attempts.some((each) => each.attempt > 1)
  attempts.forEach((each, index) => {
    const wait: Stage = index > 0 ? 'backoff' : 'queue'
    // Of earlier claims nothing is kept.
    const claimed = index === attempts.length - 1 && !beyond(asked, each) ? asked?.pickedUpAt : undefined
    if (claimed) {
      path.add(`claimed-${each.attempt}`, 'Claimed', claimed, wait)
    }
    attempt(path, each, several, claimed ? 'start' : wait)
  })
  if (asked) {
    end(path, asked, attempts)
  }
  return path.moments
}

/** How long all of it took, or takes. */
export function total(moments: readonly Moment[]): number {
  return moments.reduce((sum, each) => sum + (each.ms ?? 0), 0)
}

class Path {
  readonly moments: Moment[] = []
  readonly #now: number

  constructor(now: number) {
    this.#now = now
  }

  /** The last moment has come. */
  due(): boolean {
    return (this.moments.at(-1)?.at ?? 0) <= this.#now
  }

  /** `at` null: not yet; the stage before it goes on. */
  add(key: string, label: string, at: string | null | undefined, stage?: Stage): void {
    const before = this.moments.at(-1)?.at
    const instant = at ? Date.parse(at) : undefined
    const moment: Moment = { key, label, ...(instant !== undefined && { at: instant }) }
    if (stage && before !== undefined) {
      const ms = (instant ?? this.#now) - before
      moment.stage = stage
      moment.ms = Math.max(0, ms)
      if (ms < -SKEW_MS) {
        moment.skewed = true
      }
    }
    this.moments.push(moment)
  }
}

function begin(path: Path, asked: Asked, attempts: readonly Attempt[]): void {
  path.add('asked', 'Asked', asked.requestedAt)
  if (attempts.length > 0 || asked.completedAt) {
    return
  }
  if (Date.parse(asked.runAt ?? asked.requestedAt) - Date.parse(asked.requestedAt) > HELD_MS) {
    path.add('held', 'Not before', asked.runAt, 'hold')
  }
  if (asked.pickedUpAt) {
    path.add('claimed', 'Claimed', asked.pickedUpAt, 'queue')
    path.add('waiting', 'Starts', null, 'start')
  } else if (path.due()) {
    path.add('waiting', 'Waits for an agent', null, 'queue')
  }
}

function attempt(path: Path, each: Attempt, several: boolean, before: Stage): void {
  const which = several ? ` (attempt ${each.attempt})` : ''
  if (each.startedAt) {
    path.add(`started-${each.attempt}`, `Started${which}`, each.startedAt, before)
  }
  const ended = ENDED[each.status] ?? 'Finished'
  path.add(`finished-${each.attempt}`, ended + which, each.finishedAt, each.startedAt ? 'run' : neverBegan(each.status) ? 'record' : before)
}

function end(path: Path, asked: Asked, attempts: readonly Attempt[]): void {
  const over = asked.status === 'done' || asked.status === 'error'
  if (over) {
    const ran = attempts.length > 0
    path.add('reported', ran ? 'Reported' : 'Ended', asked.completedAt, ran ? 'report' : 'queue')
  } else if (asked.status === 'queued' && attempts.length > 0) {
    path.add('next', 'Next attempt', asked.runAt, 'backoff')
  } else if (beyond(asked, attempts.at(-1))) {
    path.add('claimed', 'Claimed', asked.pickedUpAt, 'backoff')
    path.add('waiting', 'Starts', null, 'start')
  }
}

/** The claim is of an attempt after this one, which has not been heard of yet. */
function beyond(asked: Asked | undefined, last: Attempt | undefined): boolean {
  if (asked?.status !== 'running' || !asked.pickedUpAt || !last?.finishedAt) {
    return false
  }
  return Date.parse(asked.pickedUpAt) > Date.parse(last.finishedAt)
}

const ENDED: Readonly<Record<string, string>> = {
  running: 'Runs',
  missed: 'Recorded as missed',
  skipped: 'Skipped',
  timeout: 'Timed out',
  cancelled: 'Cancelled',
  lost: 'Lost',
  error: 'Failed',
}
