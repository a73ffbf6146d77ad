import { expect, it } from 'vitest'
import { deliveriesOf, subjectOf, unreadInWords } from './notices'

it('reads what a notice is about', () => {
  expect(subjectOf('job:backup/daily: 1')).toEqual({ kind: 'job', id: 'backup/daily: 1' })
  expect(subjectOf('connection:google')).toEqual({ kind: 'connection', id: 'google' })
  expect(subjectOf('agent:mac')).toEqual({ kind: 'agent', id: 'mac' })
  for (const other of ['disk:sda', 'job:', 'constructor:x', '']) expect(subjectOf(other)).toBeUndefined()
})

it('reads how far a notice got, and leaves out what has another shape', () => {
  const sent = { state: 'sent', attempts: 2, at: '2026-11-28T12:00:00Z', error: null }
  expect(deliveriesOf({ 'mac/mail': sent, 'mac/chat': 'sent', 'mac/ntfy': { attempts: 1 }, 'mac/sms': null })).toEqual([
    { channel: 'mac/mail', state: 'sent', attempts: 2, at: '2026-11-28T12:00:00Z', error: undefined },
  ])
  for (const none of [null, undefined, [], 'sent', {}]) expect(deliveriesOf(none)).toEqual([])
})

it('counts no further than anybody reads', () => {
  expect(unreadInWords(3)).toBe('3')
  expect(unreadInWords(100)).toBe('99+')
})
