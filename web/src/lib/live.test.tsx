import { QueryClientProvider } from '@tanstack/react-query'
import { act } from 'react'
import { createRoot, type Root } from 'react-dom/client'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import * as api from './api'
import { queryClient } from './cache'
import { live, useOpenRequests, useProjectRealtime, useRunRequest } from './live'
import { type ProjectChange, type RealtimeState, subscribeToProjectRealtime } from './realtime'
import type { CronRunRequest } from './rows'
import { currentProject } from './supabase'

vi.mock('./realtime', () => ({ subscribeToProjectRealtime: vi.fn() }))
vi.mock('./api', () => ({ RECENT: 20, STRIP: 20, getRunRequest: vi.fn(), getOpenRequests: vi.fn(async () => []) }))
Object.assign(globalThis, { IS_REACT_ACT_ENVIRONMENT: true })

const request = (status: string) => ({ id: 'q', jobId: 'backup', requestedAt: '2026-03-01T00:00:00Z', status }) as CronRunRequest
const change = (status: string): ProjectChange => ({
  table: 'cron_run_requests',
  event: 'UPDATE',
  id: 'q',
  row: { ...request(status) },
})

let root: Root
let host: HTMLElement
let said: (state: RealtimeState) => void
let happens: (change: ProjectChange) => void
const asked = vi.mocked(api.getRunRequest)
const ended = vi.fn()

function Page() {
  useProjectRealtime('p', 'u')
  useOpenRequests()
  return <p>{useRunRequest('q').data?.status}</p>
}

const pass = (ms: number) => act(() => vi.advanceTimersByTimeAsync(ms))

beforeEach(async () => {
  vi.useFakeTimers()
  queryClient.clear()
  currentProject.set('p')
  live.set({ state: 'connecting', since: 0 })
  vi.mocked(subscribeToProjectRealtime).mockImplementation((_, onChange, onState) => {
    happens = onChange
    said = onState ?? said
    return ended
  })
  asked.mockReset()
  host = document.createElement('div')
  root = createRoot(host)
})
const open = () =>
  act(async () =>
    root.render(
      <QueryClientProvider client={queryClient}>
        <Page />
      </QueryClientProvider>,
    ),
  )
afterEach(async () => {
  await act(async () => root.unmount())
  vi.useRealTimers()
})

it('misses nothing that happened between its first reading and the subscription', async () => {
  let answer: (row: CronRunRequest) => void = () => {}
  asked.mockImplementationOnce(() => new Promise((resolve) => (answer = resolve)))
  asked.mockResolvedValue(request('done'))
  await open()
  // Read before it ended, answered after Realtime had begun to tell: nobody tells of the end.
  await act(async () => said('live'))
  await act(async () => answer(request('running')))
  await pass(100)
  expect(host.textContent).toBe('done')
})

it('is not taken back by an answer that was under way when the end was told', async () => {
  asked.mockResolvedValueOnce(request('queued'))
  let answer: (row: CronRunRequest) => void = () => {}
  asked.mockImplementationOnce(() => new Promise((resolve) => (answer = resolve)))
  asked.mockResolvedValue(request('done'))
  await open()
  await act(async () => said('live'))
  await act(async () => happens(change('done')))
  await pass(20)
  expect(host.textContent).toBe('done')
  await act(async () => answer(request('running')))
  await pass(20)
  expect(host.textContent).toBe('done')
})

it.each([
  ['polling', 'done', 10_000],
  ['live', 'running', 15_000],
  ['live', 'done', 60_000],
] as const)('while %s reads a request that is %s every %i ms', async (state, status, every) => {
  asked.mockResolvedValue(request(status))
  await open()
  await act(async () => said(state))
  await pass(100)
  const before = asked.mock.calls.length
  await pass(every - 200)
  expect(asked.mock.calls.length).toBe(before)
  await pass(300)
  expect(asked.mock.calls.length).toBe(before + 1)
})

it('says since when Realtime is as it is, and ends the subscription with the page', async () => {
  asked.mockResolvedValue(request('done'))
  await open()
  await act(async () => said('polling'))
  const { since } = live.get()
  await pass(5000)
  await act(async () => said('polling'))
  expect(live.get()).toEqual({ state: 'polling', since })
  await act(async () => root.render(null))
  expect(ended).toHaveBeenCalledOnce()
})
