import { describe, expect, test } from 'vitest'
import { type Asked, type Attempt, journey, total } from './journey'

const BEGIN = Date.parse('2026-11-28T12:00:00.000Z')
const at = (ms: number) => new Date(BEGIN + ms).toISOString()
const asked = (more: Partial<Asked> = {}): Asked => ({ status: 'queued', requestedAt: at(0), runAt: at(0), ...more })
const attempt = (more: Partial<Attempt> = {}): Attempt => ({ status: 'ok', trigger: 'request', attempt: 1, ...more })
const told = (...given: Parameters<typeof journey>) => journey(...given).map((each) => [each.label, each.stage, each.ms])

describe('a request', () => {
  test('that went well', () => {
    const request = asked({ status: 'done', pickedUpAt: at(36), completedAt: at(1350) })
    const run = attempt({ startedAt: at(50), finishedAt: at(1300) })
    expect(told(request, [run], BEGIN)).toEqual([
      ['Asked', undefined, undefined],
      ['Claimed', 'queue', 36],
      ['Started', 'start', 14],
      ['Finished', 'run', 1250],
      ['Reported', 'report', 50],
    ])
    expect(total(journey(request, [run], BEGIN))).toBe(1350)
  })

  test('that waits: the last stage goes on', () => {
    expect(told(asked(), [], BEGIN + 5000)).toEqual([
      ['Asked', undefined, undefined],
      ['Waits for an agent', 'queue', 5000],
    ])
  })

  test('that may not begin yet', () => {
    expect(told(asked({ runAt: at(60_000) }), [], BEGIN + 5000)).toEqual([
      ['Asked', undefined, undefined],
      ['Not before', 'hold', 60_000],
    ])
    expect(told(asked({ runAt: at(60_000) }), [], BEGIN + 61_000).map(([label]) => label)).toEqual([
      'Asked',
      'Not before',
      'Waits for an agent',
    ])
  })

  test('that is claimed and runs', () => {
    const claimed = asked({ status: 'running', pickedUpAt: at(40) })
    expect(told(claimed, [], BEGIN + 100)).toEqual([
      ['Asked', undefined, undefined],
      ['Claimed', 'queue', 40],
      ['Starts', 'start', 60],
    ])
    expect(told(claimed, [attempt({ status: 'running', startedAt: at(50) })], BEGIN + 1050).at(-1)).toEqual(['Runs', 'run', 1000])
  })

  test('that waits for its second attempt, and has had it', () => {
    const first = attempt({ status: 'error', startedAt: at(50), finishedAt: at(1050) })
    expect(told(asked({ runAt: at(31_000) }), [first], BEGIN + 2000)).toEqual([
      ['Asked', undefined, undefined],
      ['Started', 'queue', 50],
      ['Failed', 'run', 1000],
      ['Next attempt', 'backoff', 29_950],
    ])
    expect(told(asked({ status: 'running', runAt: at(31_000), pickedUpAt: at(31_000) }), [first], BEGIN + 31_020).slice(2)).toEqual([
      ['Failed', 'run', 1000],
      ['Claimed', 'backoff', 29_950],
      ['Starts', 'start', 20],
    ])
    const second = attempt({ attempt: 2, status: 'timeout', startedAt: at(31_050), finishedAt: at(41_050) })
    const over = asked({ status: 'error', pickedUpAt: at(31_000), completedAt: at(41_100) })
    expect(told(over, [first, second], BEGIN)).toEqual([
      ['Asked', undefined, undefined],
      ['Started (attempt 1)', 'queue', 50],
      ['Failed (attempt 1)', 'run', 1000],
      ['Claimed', 'backoff', 29_950],
      ['Started (attempt 2)', 'start', 50],
      ['Timed out (attempt 2)', 'run', 10_000],
      ['Reported', 'report', 50],
    ])
  })

  test('that ended without a run', () => {
    expect(told(asked({ status: 'error', completedAt: at(700) }), [], BEGIN)).toEqual([
      ['Asked', undefined, undefined],
      ['Ended', 'queue', 700],
    ])
  })

  test('where the clocks contradict each other', () => {
    const request = asked({ status: 'done', pickedUpAt: at(36), completedAt: at(1350) })
    const moments = journey(request, [attempt({ startedAt: at(-3000), finishedAt: at(-2000) })], BEGIN)
    expect(moments[2]).toMatchObject({ label: 'Started', ms: 0, skewed: true })
    expect(moments.filter((each) => each.skewed)).toHaveLength(1)
  })
})

describe('a run without a request', () => {
  test('of a slot', () => {
    const run = attempt({ trigger: 'schedule', scheduledFor: at(0), startedAt: at(12), finishedAt: at(512) })
    expect(told(undefined, [run], BEGIN)).toEqual([
      ['Due', undefined, undefined],
      ['Started', 'queue', 12],
      ['Finished', 'run', 500],
    ])
  })

  test('that makes up for a missed slot, and a slot that was missed', () => {
    const run = attempt({ trigger: 'catch_up', scheduledFor: at(0), startedAt: at(3_600_000), finishedAt: at(3_600_100) })
    expect(told(undefined, [run], BEGIN)[0]?.[0]).toBe('Due, missed')
    const missed = attempt({ trigger: 'schedule', status: 'missed', scheduledFor: at(0), finishedAt: at(100) })
    expect(told(undefined, [missed], BEGIN)).toEqual([
      ['Due', undefined, undefined],
      ['Recorded as missed', 'record', 100],
    ])
  })

  test('of a start of its agent', () => {
    const run = attempt({ trigger: 'startup', startedAt: at(0), finishedAt: at(10) })
    expect(told(undefined, [run], BEGIN)).toEqual([
      ['Started', undefined, undefined],
      ['Finished', 'run', 10],
    ])
  })
})
