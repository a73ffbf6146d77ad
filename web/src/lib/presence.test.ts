import { expect, it } from 'vitest'
import { isThere, isUnreported, presence, presences } from './presence'
import type { CronAgent } from './rows'

const NOW = Date.parse('2026-03-01T12:00:00Z')
const ago = (seconds: number) => new Date(NOW - seconds * 1000).toISOString()
const agent = (more: Partial<CronAgent> = {}) => ({ id: 'a', projectId: 'p', agentId: 'mac', state: 'online', ...more }) as CronAgent
const beat = (seconds: number) => ({ projectId: 'p', agentId: 'mac', lastSeenAt: ago(seconds) })

it.each([
  ['online', agent(), 50, true],
  ['offline', agent(), 60, false],
  ['draining', agent({ state: 'draining' }), 5, true],
  ['offline', agent({ state: 'draining' }), 60, false],
  ['stopped', agent({ state: 'stopped' }), 5, false],
  ['stopped', agent({ state: 'stopped' }), 600, false],
] as const)('is %s', (status, who, seconds, there) => {
  const found = presence(who, beat(seconds), NOW)
  expect(found.status).toBe(status)
  expect(isThere(found)).toBe(there)
})

it('judges by when it was read: while Supabase is away nobody falls silent', () => {
  const read = (seconds: number) => ({ ...beat(600), readAt: NOW - seconds * 1000 })
  expect(presence(agent(), read(590), NOW).status).toBe('online')
  expect(presence(agent(), read(500), NOW).status).toBe('offline')
})

it('takes one that was never heard of for gone', () => {
  expect(presence(agent(), undefined, NOW)).toMatchObject({ status: 'offline', lastSeenAt: undefined })
})

it.each([
  [{ pausedMode: 'all' }, { mode: 'all', by: 'operator' }],
  [{ boxPausedMode: 'schedule' }, { mode: 'schedule', by: 'box' }],
  [
    { pausedMode: 'schedule', pausedUntil: ago(-60), boxPausedMode: 'all' },
    { mode: 'schedule', until: ago(-60), by: 'operator' },
  ],
  [
    { pausedMode: 'schedule', pausedUntil: ago(60), boxPausedMode: 'all' },
    { mode: 'all', by: 'box' },
  ],
  [{ pausedMode: 'all', pausedUntil: ago(1), boxPausedMode: 'all', boxPausedUntil: ago(1) }, undefined],
  [{}, undefined],
] as const)('with %j is paused as %j', (more, paused) => {
  expect(presence(agent(more), beat(1), NOW).paused).toEqual(paused && { until: undefined, ...paused })
})

it('puts each beat to its agent', () => {
  const found = presences([agent(), agent({ id: 'b', agentId: 'mini' })], [beat(1)], NOW)
  expect(found.map((each) => each.status)).toEqual(['online', 'offline'])
  expect(presences()).toEqual([])
})

it('has people told of an agent that is silent for two minutes, and once', () => {
  expect(isUnreported(agent(), beat(119), NOW)).toBe(false)
  expect(isUnreported(agent(), beat(121), NOW)).toBe(true)
  expect(isUnreported(agent(), { ...beat(121), offlineSince: ago(121) }, NOW)).toBe(false)
  expect(isUnreported(agent({ state: 'stopped' }), beat(121), NOW)).toBe(false)
  expect(isUnreported(agent(), { ...beat(121), readAt: NOW - 10_000 }, NOW)).toBe(false)
  expect(isUnreported(agent(), undefined, NOW)).toBe(false)
})
