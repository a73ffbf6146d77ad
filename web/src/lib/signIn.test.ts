import { expect, it } from 'vitest'
import type { CronConnection, CronReconnect } from './rows'
import { isOpen, shownReconnect, stepOf, webAddress } from './signIn'

const NOW = Date.parse('2026-11-28T12:00:00Z')
const at = (minutes: number) => new Date(NOW + minutes * 60_000).toISOString()
const STATE = 'a-state-of-the-agent'

function request(more: Partial<CronReconnect>): CronReconnect {
  const asked = { id: 'r', projectId: 'p', connectionId: 'drive', agentId: 'mac', requestedAt: at(-1), expiresAt: at(9) }
  return { ...asked, status: 'asked', otherAccountOk: false, ...more }
}
const connection = (more: Partial<CronConnection> = {}) =>
  ({ connectionId: 'drive', needsReauth: true, updatedAt: at(-60), ...more }) as CronConnection

it('goes through the steps of a sign-in in a browser', () => {
  const url = 'https://accounts.example/auth?state=x'
  expect(stepOf(request({}), false, NOW)).toEqual({ kind: 'asked', away: false })
  expect(stepOf(request({}), true, NOW)).toEqual({ kind: 'asked', away: true })
  const waiting = request({ status: 'waiting', authorizationUrl: url, state: STATE })
  expect(stepOf(waiting, false, NOW)).toEqual({ kind: 'browser', url: new URL(url), state: STATE })
  expect(stepOf(request({ status: 'given' }), false, NOW)).toEqual({ kind: 'given', away: false })
  expect(stepOf(request({ status: 'done' }), false, NOW)).toEqual({ kind: 'done' })
})

it('shows a code that is typed in elsewhere', () => {
  const told = request({ status: 'waiting', verificationUri: 'https://x.example/device', userCode: 'ABCD-EFGH' })
  expect(stepOf(told, false, NOW)).toEqual({ kind: 'device', url: new URL('https://x.example/device'), code: 'ABCD-EFGH' })
})

it('says what went wrong', () => {
  expect(stepOf(request({ expiresAt: at(-1) }), false, NOW)).toMatchObject({ kind: 'failed', why: 'nobody finished it in time' })
  const other = 'This is another account: eve@x'
  expect(stepOf(request({ status: 'error', error: other }), false, NOW)).toEqual({ kind: 'failed', why: other, otherAccount: true })
  expect(stepOf(request({ status: 'error', error: 'invalid_client' }), false, NOW)).toMatchObject({ otherAccount: false })
})

it('sends nobody to an address that is none, or hides where it leads', () => {
  for (const bad of [
    'javascript:alert(1)',
    'data:text/html,x',
    'http://accounts.example/auth',
    'https://accounts.google.com@evil.example/',
    'not an address',
    '',
  ]) {
    expect(webAddress(bad)).toBeUndefined()
    expect(stepOf(request({ status: 'waiting', authorizationUrl: bad, state: STATE }), false, NOW).kind).toBe('failed')
  }
  expect(webAddress('http://127.0.0.1:9/auth')?.host).toBe('127.0.0.1:9')
})

it('shows the newest sign-in of a connection, while it goes on and for a while after', () => {
  const shown = (...requests: CronReconnect[]) => shownReconnect(connection(), requests, NOW)?.id
  expect(shown()).toBeUndefined()
  expect(shown(request({ id: 'other', connectionId: 'mail' }))).toBeUndefined()
  const ended = { status: 'error', error: 'replaced by a newer one', completedAt: at(-1), requestedAt: at(-3) } as const
  expect(shown(request({ id: 'new' }), request({ id: 'old', ...ended }))).toBe('new')
  expect(shown(request({ id: 'ended', ...ended }))).toBe('ended')
  expect(shown(request({ ...ended, error: 'cancelled' }))).toBeUndefined()
  expect(shown(request({ ...ended, completedAt: at(-11) }))).toBeUndefined()
})

it('does not say "reconnected" of a connection that has been lost again', () => {
  const done = request({ id: 'done', status: 'done', completedAt: at(-2) })
  expect(shownReconnect(connection({ needsReauth: false, updatedAt: at(-2) }), [done], NOW)?.id).toBe('done')
  expect(shownReconnect(connection({ needsReauth: true, updatedAt: at(-1) }), [done], NOW)).toBeUndefined()
})

it('is over when its time is, whatever its status', () => {
  expect(isOpen(request({ status: 'given' }), NOW)).toBe(true)
  expect(isOpen(request({ status: 'given', expiresAt: at(-1) }), NOW)).toBe(false)
  expect(isOpen(request({ status: 'done' }), NOW)).toBe(false)
})
