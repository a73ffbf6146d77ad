import { beforeEach, expect, it, vi } from 'vitest'
import { getRecentRuns } from './api'
import type { RecentRun } from './rows'
import { stripOf } from './strips'

vi.mock('./api', () => ({ getRecentRuns: vi.fn() }))
const asked = vi.mocked(getRecentRuns)
const run = (jobId: string, id: string) => ({ id, jobId, status: 'ok' }) as RecentRun
const seen = new AbortController().signal

beforeEach(() => {
  asked.mockReset()
  asked.mockImplementation(async (jobIds) => jobIds.map((jobId) => run(jobId, `last of ${jobId}`)))
})

it('asks once for all that are seen, and gives each its own', async () => {
  const found = await Promise.all(['a', 'b', 'c'].map((jobId) => stripOf(jobId, seen)))
  expect(asked.mock.calls).toEqual([[['a', 'b', 'c']]])
  expect(found.map((each) => each[0]?.id)).toEqual(['last of a', 'last of b', 'last of c'])
})

it('gives none to a job that never ran', async () => {
  asked.mockResolvedValue([run('b', '1'), run('b', '2')])
  expect(await Promise.all([stripOf('a', seen), stripOf('b', seen)])).toMatchObject([[], [{ id: '1' }, { id: '2' }]])
})

it('does not ask for what was scrolled away meanwhile', async () => {
  const gone = new AbortController()
  void stripOf('gone', gone.signal)
  const here = stripOf('here', seen)
  gone.abort()
  await here
  expect(asked.mock.calls).toEqual([[['here']]])
})

it('asks for no more than the server answers at once, and lets one failure be one', async () => {
  asked.mockImplementationOnce(async () => Promise.reject(new Error('no')))
  const found = await Promise.allSettled(Array.from({ length: 450 }, (_, index) => stripOf(`job-${index}`, seen)))
  expect(asked.mock.calls.map(([jobIds]) => jobIds.length)).toEqual([200, 200, 50])
  expect(found.filter((each) => each.status === 'rejected')).toHaveLength(200)
  expect(found[449]).toMatchObject({ status: 'fulfilled', value: [{ id: 'last of job-449' }] })
})
