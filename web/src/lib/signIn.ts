// Where signing a connection in again stands, as its admin meets it. Pure.

import { urlProblem } from './configuration'
import type { CronConnection, CronReconnect } from './rows'

export type Step =
  /** The agent has not begun it yet; `away`: nor can it now. */
  | { kind: 'asked'; away: boolean }
  /** To be opened in this browser. */
  | { kind: 'browser'; url: URL; state: string }
  /** To be typed in, in any browser. */
  | { kind: 'device'; url: URL; code: string }
  /** The agent exchanges the code. */
  | { kind: 'given'; away: boolean }
  | { kind: 'done' }
  /** `otherAccount`: it was signed in as somebody else than before. */
  | { kind: 'failed'; why: string; otherAccount: boolean }

/** What is over is shown for so long. */
const SHOWN_MS = 10 * 60_000
const OPEN: ReadonlySet<string> = new Set(['asked', 'waiting', 'given'])

/** An address that a browser may be sent to: https, or http within a private network; no user name that hides the host. */
export function webAddress(text: string | undefined): URL | undefined {
  if (!text || urlProblem(text) !== undefined) return undefined
  const url = new URL(text)
  return url.username || url.password ? undefined : url
}

/** Does it still go on? */
export function isOpen(request: CronReconnect, now: number): boolean {
  return OPEN.has(request.status) && Date.parse(request.expiresAt) > now
}

/** The sign-in of a connection that is worth showing: the newest, while it goes on and for a while after. */
export function shownReconnect(connection: CronConnection, requests: CronReconnect[], now: number): CronReconnect | undefined {
  const newest = requests
    .filter((each) => each.connectionId === connection.connectionId)
    .reduce<CronReconnect | undefined>((best, each) => (best && best.requestedAt >= each.requestedAt ? best : each), undefined)
  if (!newest || isOpen(newest, now)) return newest
  if (newest.error === 'cancelled') return undefined
  // One that worked is old news where the connection has been lost again since.
  if (newest.status === 'done' && connection.needsReauth && connection.updatedAt > (newest.completedAt ?? '')) return undefined
  return Date.parse(newest.completedAt ?? newest.expiresAt) + SHOWN_MS > now ? newest : undefined
}

export function stepOf(request: CronReconnect, away: boolean, now: number): Step {
  const failed = (why: string): Step => ({ kind: 'failed', why, otherAccount: /another account/i.test(why) })
  if (request.status === 'done') return { kind: 'done' }
  if (request.status === 'error') return failed(request.error ?? 'it is not known why')
  if (!isOpen(request, now)) return failed('nobody finished it in time')
  if (request.status === 'asked') return { kind: 'asked', away }
  if (request.status === 'given') return { kind: 'given', away }
  const url = webAddress(request.authorizationUrl ?? request.verificationUri)
  if (!url) return failed('the agent named an address that no browser should be sent to')
  if (request.verificationUri) return { kind: 'device', url, code: request.userCode ?? '' }
  return { kind: 'browser', url, state: request.state ?? '' }
}
