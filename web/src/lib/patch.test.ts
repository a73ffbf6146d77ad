import { expect, it } from 'vitest'
import { applyJobs, applyOpenRequest, applyRecentRequest, applyRunningRun, applyStrip, keepFinal } from './patch'
import type { ProjectChange } from './realtime'
import type { CronMirrorJob, CronRun, CronRunRequest, RecentRun } from './rows'

const request = (id: string, status: string, at = 1) =>
  ({ id, jobId: 'backup', status, requestedAt: `2026-03-0${at}T00:00:00Z` }) as CronRunRequest
const change = (
  table: ProjectChange['table'],
  row: Record<string, unknown> | object,
  event: ProjectChange['event'] = 'UPDATE',
): ProjectChange => ({
  table,
  event,
  id: String((row as { id?: string }).id),
  ...(event !== 'DELETE' && { row: row as ProjectChange['row'] }),
})
const ids = (list: { id: string }[]) => list.map((each) => each.id).join('')

it('puts a new request first and lets the oldest go', () => {
  const list = [request('b', 'done', 2), request('a', 'done', 1)]
  const next = applyRecentRequest(2)(list, change('cron_run_requests', request('c', 'queued', 3), 'INSERT'))
  expect(ids(next)).toBe('cb')
  expect(ids(applyRecentRequest(2)(next, change('cron_run_requests', request('a', 'done', 1))))).toBe('cb')
})

it('keeps an ended request ended when an older state comes late', () => {
  const list = [request('a', 'done')]
  expect(applyRecentRequest(20)(list, change('cron_run_requests', request('a', 'running')))[0]?.status).toBe('done')
  expect(keepFinal(request('a', 'running'), request('a', 'queued')).status).toBe('queued')
  expect(keepFinal({ status: 'lost' }, { status: 'running' }).status).toBe('running')
})

it('follows requests from queued to gone', () => {
  let open = applyOpenRequest([], change('cron_run_requests', request('a', 'queued'), 'INSERT'))
  open = applyOpenRequest(open, change('cron_run_requests', request('a', 'running')))
  expect(open[0]?.status).toBe('running')
  expect(applyOpenRequest(open, change('cron_run_requests', request('a', 'error')))).toEqual([])
  expect(applyOpenRequest(open, change('cron_run_requests', { id: 'a' }, 'DELETE'))).toEqual([])
})

it('touches only its own table', () => {
  const jobs = [{ id: 'a' } as CronMirrorJob]
  expect(applyJobs(jobs, [change('cron_run_requests', request('a', 'queued'))])).toBe(jobs)
  expect(applyRunningRun([], change('cron_runs', { id: 'r', status: 'ok' }))).toEqual([])
  expect(ids(applyRunningRun([], change('cron_runs', { id: 'r', status: 'running' })))).toBe('r')
})

it('keeps a strip in order, cut, and free of runs that begin again', () => {
  const run = (id: string, status: string, at: number) =>
    ({ id, jobId: 'backup', status, trigger: 'schedule', startedAt: `2026-03-0${at}T00:00:00Z` }) as CronRun
  let strip: RecentRun[] = []
  for (const each of [run('a', 'ok', 1), run('c', 'running', 3), run('b', 'ok', 2), run('c', 'ok', 3), run('c', 'running', 3)]) {
    strip = applyStrip('backup', 2)(strip, change('cron_runs', each))
  }
  expect(strip.map((each) => each.id + each.status)).toEqual(['cok', 'bok'])
})

it('applies many changes of jobs at once, the newest of each', () => {
  const job = (id: string, name: string) => ({ id, name }) as CronMirrorJob
  const next = applyJobs(
    [job('a', 'A'), job('b', 'B'), job('c', 'C')],
    [
      change('cron_mirror', job('b', 'old')),
      change('cron_mirror', job('b', 'new')),
      change('cron_mirror', { id: 'c' }, 'DELETE'),
      change('cron_mirror', job('d', 'D'), 'INSERT'),
      change('cron_mirror', { id: 'gone' }, 'DELETE'),
    ],
  )
  expect(next.map((each) => each.name)).toEqual(['A', 'new', 'D'])
})
