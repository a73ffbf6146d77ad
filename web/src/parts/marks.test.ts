import { describe, expect, it } from 'vitest'
import type { CronRun } from '../lib/rows'
import { runInWords, runMark, slotMark } from './marks'

const AT = '2026-11-28T10:00:00Z'

function run(more: Partial<CronRun> = {}): CronRun {
  return {
    id: '1',
    projectId: 'p',
    jobId: 'a/b',
    agentId: 'mac',
    trigger: 'schedule',
    attempt: 1,
    status: 'ok',
    startedAt: AT,
    finishedAt: AT,
    durationMs: 2100,
    createdAt: AT,
    ...more,
  }
}

function mark<T>(items: T[], status = 'ok') {
  return { x: 0, width: 0, from: Date.parse(AT), to: Date.parse(AT) + 60_000, status, items }
}

describe('runInWords', () => {
  it('says what, when and how long, and of what failed the reason', () => {
    expect(runInWords(run())).toMatch(/^ok · Sat, 28 Nov 2026, .+ · took 2\.1 s$/)
    expect(runInWords(run({ status: 'error', reason: 'exit_code', error: 'exit code 3' }))).toContain('\nFailed: exit code 3')
  })

  it('shows what would turn the text around instead of obeying it', () => {
    expect(runInWords(run({ status: 'error', error: 'a\u202eb' }))).toContain('a⟨U+202E⟩b')
  })
})

describe('runMark', () => {
  it('of one run opens that run', () => {
    expect(runMark(mark([run()]))).toMatchObject({ key: '1', to: '/runs/1' })
  })

  it('of many opens the runs of that job and time', () => {
    const { label, to } = runMark(mark([run(), run({ id: '2', status: 'error' })], 'error'))

    expect(label).toMatch(/^2 runs, .+: 1 ok, 1 error$/)
    expect(new URLSearchParams(to?.split('?')[1]).get('job')).toBe('a/b')
    expect(to).toContain('from=2026-11-28T10%3A00%3A00.000Z&to=2026-11-28T10%3A01%3A01.000Z')
  })
})

describe('slotMark', () => {
  it('says how many runs are expected', () => {
    expect(slotMark(mark([1]), 'a', false).label).toMatch(/^expected · /)
    expect(slotMark(mark([1, 2, 3]), 'a', false).label).toMatch(/^3 runs expected · /)
    expect(slotMark(mark([1]), 'a', true).label).toMatch(/^expected again and again · /)
  })
})
