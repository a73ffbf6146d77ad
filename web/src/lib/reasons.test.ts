import { expect, test } from 'vitest'
import { causeOf, exitCodeInWords, fencedOff, reasonOf } from './reasons'

test('every reason of the agent and of the server has words', () => {
  const ended = ['exit_code', 'timeout', 'cancelled', 'lost', 'expired', 'unknown_job', 'rejected', 'spawn_failed', 'signal']
  for (const reason of [...ended, 'needs_reauth', 'http_status', 'http_error', 'overlap', 'shutdown']) {
    expect(reasonOf('error', reason).title).not.toContain(reason)
  }
  for (const cause of ['agent_down', 'asleep', 'paused', 'needs_reauth', 'offline', 'busy', 'rejected']) {
    expect(reasonOf('missed', cause).title).not.toContain('Missed')
    expect(causeOf(cause)).toBeTruthy()
  }
  expect(reasonOf('skipped', 'overlap').detail).toContain('previous run')
})

test('a reason of a newer agent is shown as it is, and the cause of a catch-up is no failure', () => {
  expect(reasonOf('error', 'eaten_by_dog').title).toBe('Failed: eaten_by_dog')
  expect(reasonOf('ok', 'asleep').title).toBe('Succeeded')
  expect(reasonOf('error', undefined).title).toBe('Failed')
  expect(reasonOf('constructor', 'toString').title).toBe('constructor: toString')
})

test('exit codes in words', () => {
  expect(exitCodeInWords(127)).toBe('command not found')
  expect(exitCodeInWords(-9)).toBe('ended by SIGKILL')
  expect(exitCodeInWords(137)).toBe('as after SIGKILL')
  expect(exitCodeInWords(1)).toBeUndefined()
})

test('a run whose request was given up before its end came is fenced off, and no other', () => {
  const lost = { status: 'error', result: { reason: 'lost', attempt: 2 } }
  const run = { id: 'r2', status: 'ok', attempt: 2 }
  expect(fencedOff(run, lost)).toBe(true)
  expect(fencedOff({ ...run, attempt: 1 }, lost)).toBe(false)
  expect(fencedOff({ ...run, status: 'lost' }, lost)).toBe(false)
  expect(fencedOff({ ...run, status: 'running' }, lost)).toBe(false)
  expect(fencedOff(run, { status: 'error', result: { reason: 'lost', attempt: 2, run_id: 'r2' } })).toBe(false)
  expect(fencedOff(run, { status: 'done', result: { attempt: 2 } })).toBe(false)
  expect(fencedOff(run, undefined)).toBe(false)
})
