import { describe, expect, it } from 'vitest'
import { bytes, duration, exactTime, relativeTime, shorten, visible } from './format'

describe('relativeTime', () => {
  const now = Date.parse('2026-03-01T12:00:00Z')
  it.each([
    ['2026-03-01T12:05:00Z', 'in 5 min'],
    ['2026-03-01T11:59:18Z', '42 s ago'],
    ['2026-03-01T09:00:00Z', '3 h ago'],
    ['2026-03-04T12:00:00Z', 'in 3 d'],
    ['2026-03-01T12:00:00.2Z', 'now'],
    ['no instant', '—'],
  ])('%s is %s', (instant, words) => expect(relativeTime(instant, now)).toBe(words))
})

describe('duration', () => {
  it.each([
    [0, '0 ms'],
    [320, '320 ms'],
    [4230, '4.2 s'],
    [42_400, '42 s'],
    [200_000, '3 m 20 s'],
    [3_600_000, '1 h'],
    [3_900_000, '1 h 5 m'],
    [183_600_000, '2 d 3 h'],
    [undefined, '—'],
  ])('%s ms is %s', (ms, words) => expect(duration(ms)).toBe(words))
})

it('knows a zone and survives one that is none', () => {
  expect(exactTime('2026-07-01T10:00:00Z', 'Europe/Berlin')).toBe('Wed, 1 Jul 2026, 12:00:00 CEST')
  expect(exactTime('2026-07-01T10:00:00Z', 'Mars/Olympus')).toContain('2026')
  expect(exactTime('never')).toBe('—')
})

it('shows what hides or turns text', () => {
  expect(visible('safe\u202Eexe.txt')).toBe('safe⟨U+202E⟩exe.txt')
  expect(visible('a\u200Bb\u0007\u{E0041}')).toBe('a⟨U+200B⟩b⟨U+0007⟩⟨U+E0041⟩')
  expect(visible('line\none\ttab שלום 👩‍👩‍👧')).toBe('line\none\ttab שלום 👩‍👩‍👧')
})

it('cuts and counts', () => {
  expect(shorten('x'.repeat(300), 10)).toBe('xxxxxxxxx…')
  expect(bytes(12)).toBe('12 B')
  expect(bytes(4608)).toBe('4.5 KiB')
  expect(bytes(2 * 1024 ** 2)).toBe('2 MiB')
})
