import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { queryClient } from './cache'
import { keepKnown, MOST, MOST_EACH } from './known'
import { memory } from './store'
import { session } from './supabase'

vi.mock('./supabase', async (original) => ({
  ...(await original<object>()),
  configuration: () => ({ url: 'https://abc.supabase.co', key: 'k' }),
  keptPerson: () => {
    const now = session.get()
    return elsewhere.out || now.kind !== 'in' ? undefined : now
  },
}))

const elsewhere = vi.hoisted(() => ({ out: false }))
const KEPT = 'cronmirror.known.abc.supabase.co.'
const me = { kind: 'in', userId: 'me', email: 'me@x' } as const
const kept = () => memory.entries(KEPT).map(([key]) => key)
const text = () =>
  memory
    .entries(KEPT)
    .map(([, value]) => value)
    .join('\n')
const read = (key: unknown[], data: unknown) => queryClient.setQueryData(key, data)
let stop = () => {}
/** As after a reload: nothing but what is in the storage. */
const visit = () => {
  stop()
  queryClient.clear()
  stop = keepKnown()
}

beforeEach(() => {
  localStorage.clear()
  session.set(me)
  visit()
})
afterEach(() => {
  stop()
  vi.useRealTimers()
})

it('shows the next visit what the last one read, and when that was', () => {
  vi.useFakeTimers()
  const at = Date.now()
  read(['jobs', 'p'], [{ id: 'a' }])
  read(['projects', 'me'], [{ projectId: 'p' }])
  vi.advanceTimersByTime(3_600_000)
  visit()
  expect(queryClient.getQueryData(['jobs', 'p'])).toEqual([{ id: 'a' }])
  expect(queryClient.getQueryData(['projects', 'me'])).toEqual([{ projectId: 'p' }])
  expect(queryClient.getQueryState(['jobs', 'p'])?.dataUpdatedAt).toBe(at)
})

it('writes while the page is open, not only at its end', () => {
  vi.useFakeTimers()
  read(['jobs', 'p'], [{ id: 'a' }])
  expect(kept()).toEqual([])
  vi.advanceTimersByTime(2500)
  expect(kept()).toEqual(['["jobs","p"]'])
  read(['jobs', 'p'], [{ id: 'b' }])
  dispatchEvent(new Event('pagehide'))
  expect(text()).toContain('"b"')
})

it('keeps no payload, no output and nothing that a run said', () => {
  const result = { ok: false, reason: 'exit_code', exit_code: 3, stdout_tail: 'SECRET', stderr_tail: 'SECRET', error: 'SECRET' }
  const request = { id: 'q', jobId: 'a', status: 'error', payload: { token: 'SECRET' }, lastError: 'SECRET', result }
  for (const name of ['requests', 'open']) read([name, 'p'], [request, { id: 'w', status: 'queued' }])
  read(['running', 'p'], [{ id: 'r', output: 'SECRET', error: 'SECRET' }])
  for (const name of ['run', 'request', 'attempts', 'runs', 'output', 'timeline']) read([name, 'p'], { output: 'SECRET' })
  read(['runs', 'p', 'job', 'a'], { output: 'SECRET' })
  read(['runs', 'p', 'failing'], ['a'])
  visit()
  expect(kept()).toHaveLength(4)
  expect(text()).not.toContain('SECRET')
  expect(queryClient.getQueryData(['requests', 'p'])).toMatchObject([
    { id: 'q', result: { reason: 'exit_code', exit_code: 3 } },
    { id: 'w' },
  ])
})

it.each([
  ['signs out', { kind: 'out' }],
  ['has a session that ended', { kind: 'out', ended: true }],
  ['is another one', { kind: 'in', userId: 'you', email: 'you@x' }],
] as const)('forgets everything when the person %s', (_, next) => {
  read(['jobs', 'p'], [{ id: 'a' }])
  visit()
  expect(queryClient.getQueryData(['jobs', 'p'])).toBeDefined()
  read(['open', 'p'], [])
  session.set(next)
  dispatchEvent(new Event('pagehide'))
  expect(kept()).toEqual([])
  expect(queryClient.getQueryData(['jobs', 'p'])).toBeUndefined()
})

it('shows nobody what another person left, nor what is old or cannot be read', () => {
  const old = Date.now() - 8 * 86_400_000
  memory.write(`${KEPT}["jobs","theirs"]`, `${Date.now()} you\n[]`)
  memory.write(`${KEPT}["jobs","old"]`, `${old} me\n[]`)
  memory.write(`${KEPT}["jobs","broken"]`, `${Date.now()} me\n[`)
  memory.write(`${KEPT}broken`, `${Date.now()} me\n[]`)
  memory.write(`${KEPT}["jobs","empty"]`, '')
  memory.write(`${KEPT}["jobs","mine"]`, `${Date.now()} me\n[]`)
  visit()
  expect(
    queryClient
      .getQueryCache()
      .getAll()
      .map((each) => each.queryKey[1]),
  ).toEqual(['mine'])
  expect(kept()).toEqual(['["jobs","mine"]'])
})

it('waits until it is known who it is', () => {
  read(['jobs', 'p'], [{ id: 'a' }])
  stop()
  session.set({ kind: 'loading' })
  visit()
  expect(queryClient.getQueryData(['jobs', 'p'])).toBeUndefined()
  expect(kept()).toHaveLength(1)
  session.set(me)
  expect(queryClient.getQueryData(['jobs', 'p'])).toBeDefined()
})

it('stays within its bounds: what is too long is left out, the oldest goes first', () => {
  vi.useFakeTimers()
  const big = 'x'.repeat(MOST_EACH * 0.9)
  for (const name of ['a', 'b', 'c']) {
    read(['jobs', name], [{ id: big }])
    vi.advanceTimersByTime(5000)
  }
  expect(kept().toSorted()).toEqual(['["jobs","b"]', '["jobs","c"]'])
  expect(text().length).toBeLessThanOrEqual(MOST + 100)
  read(['jobs', 'c'], [{ id: 'x'.repeat(MOST_EACH) }])
  vi.advanceTimersByTime(5000)
  expect(kept()).toEqual(['["jobs","b"]'])
})

it('writes nothing any more once the person has signed out in another tab', () => {
  read(['jobs', 'p'], [{ id: 'a' }])
  elsewhere.out = true
  dispatchEvent(new Event('pagehide'))
  elsewhere.out = false
  expect(kept()).toEqual([])
})

it('lives without a storage', () => {
  vi.spyOn(Storage.prototype, 'setItem').mockImplementation(() => {
    throw new DOMException('full', 'QuotaExceededError')
  })
  read(['jobs', 'p'], [{ id: 'a' }])
  visit()
  expect(kept()).toEqual([])
  vi.restoreAllMocks()
})
