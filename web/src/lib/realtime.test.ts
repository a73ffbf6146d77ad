import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { type ProjectChange, subscribeToProjectRealtime } from './realtime'

type Listener = (said: Record<string, unknown>) => void
class Channel {
  readonly wanted: Record<string, unknown>[] = []
  readonly listeners: Listener[] = []
  removed = false
  system: Listener = () => {}
  status: (status: string) => void = () => {}
  on(kind: string, wanted: Record<string, unknown>, listener: Listener) {
    if (kind === 'system') this.system = listener
    else {
      this.wanted.push(wanted)
      this.listeners.push(listener)
    }
    return this
  }
  subscribe(status: (status: string) => void) {
    this.status = status
  }
  live() {
    this.status('SUBSCRIBED')
    this.system({ extension: 'postgres_changes', status: 'ok' })
  }
  tell(table: string, change: Record<string, unknown>) {
    this.listeners[this.wanted.findIndex((each) => each.table === table)]?.(change)
  }
}

const channels = vi.hoisted(() => [] as Channel[])
const locked = vi.hoisted(() => vi.fn(async () => false))
const who = vi.hoisted(() => ({ kind: 'out' }))
vi.mock('./supabase', () => ({
  isLocked: locked,
  session: { get: () => who },
  supabase: () => ({
    realtime: { setAuth: async () => {} },
    channel: () => {
      const channel = new Channel()
      channels.push(channel)
      return channel
    },
    removeChannel: (channel: Channel) => {
      channel.removed = true
    },
  }),
}))

const TABLES = ['cron_mirror', 'cron_run_requests', 'cron_runs', 'cron_agents', 'cron_notifications']
const newest = () => channels.at(-1) as Channel
const changes: ProjectChange[] = []
const states: string[] = []
let end = () => {}
const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms)

beforeEach(async () => {
  vi.useFakeTimers()
  vi.spyOn(Math, 'random').mockReturnValue(1)
  channels.length = changes.length = states.length = 0
  end = subscribeToProjectRealtime(
    'p',
    (change) => changes.push(change),
    (state) => states.push(state),
  )
  await pass(0)
})
afterEach(() => {
  end()
  vi.useRealTimers()
  vi.restoreAllMocks()
})

it('listens to the tables of one project, and is live only once the server listens to Postgres', () => {
  expect(newest().wanted.map(({ table, filter }) => [table, filter])).toEqual(TABLES.map((table) => [table, 'project_id=eq.p']))
  newest().status('SUBSCRIBED')
  expect(states).toEqual(['connecting'])
  newest().system({ extension: 'presence', status: 'ok' })
  expect(states).toEqual(['connecting'])
  newest().live()
  expect(states).toEqual(['connecting', 'live'])
})

it('tells changes in camelCase, what became null as undefined, and of deletions the id alone', () => {
  newest().live()
  newest().tell('cron_runs', { eventType: 'UPDATE', new: { id: 'r', job_id: 'a', exit_code: null }, old: {} })
  newest().tell('cron_mirror', { eventType: 'DELETE', new: {}, old: { id: 'm' } })
  newest().tell('cron_mirror', { eventType: 'INSERT', new: { errors: 'too large' }, old: {} })
  expect(changes).toEqual([
    { table: 'cron_runs', event: 'UPDATE', id: 'r', row: { id: 'r', jobId: 'a', exitCode: undefined } },
    { table: 'cron_mirror', event: 'DELETE', id: 'm' },
  ])
  expect(changes[0]?.row && 'exitCode' in changes[0].row).toBe(true)
})

it.each([
  ['channel error', () => newest().status('CHANNEL_ERROR')],
  ['timeout', () => newest().status('TIMED_OUT')],
  ['close', () => newest().status('CLOSED')],
  ['refusal by Postgres', () => newest().system({ extension: 'postgres_changes', status: 'error' })],
])('builds everything anew after a %s, and is live again', async (_, happens) => {
  newest().live()
  const first = newest()
  happens()
  expect(states.at(-1)).toBe('polling')
  expect(first.removed).toBe(true)
  await pass(1000)
  expect(channels).toHaveLength(2)
  newest().live()
  expect(states.at(-1)).toBe('live')

  first.tell('cron_runs', { eventType: 'UPDATE', new: { id: 'late' }, old: {} })
  first.status('CLOSED')
  first.live()
  expect(changes).toEqual([])
  expect(states.at(-1)).toBe('live')
  expect(channels).toHaveLength(2)
})

it('gives up a server that says neither yes nor no', async () => {
  newest().status('SUBSCRIBED')
  await pass(20_000)
  expect(states.at(-1)).toBe('polling')
})

it('waits longer each time, never more than a quarter of a minute, and begins anew once it was live', async () => {
  for (const wait of [1000, 2000, 4000, 8000, 15_000, 15_000]) {
    const before = channels.length
    newest().status('CHANNEL_ERROR')
    await pass(wait - 1)
    expect(channels).toHaveLength(before)
    await pass(1)
    expect(channels).toHaveLength(before + 1)
  }
  newest().live()
  newest().status('CLOSED')
  const before = channels.length
  await pass(1000)
  expect(channels).toHaveLength(before + 1)
})

it('hurries when the network or the person comes back, but leaves alone what is live', async () => {
  newest().live()
  dispatchEvent(new Event('online'))
  await pass(0)
  expect(channels).toHaveLength(1)
  newest().status('CHANNEL_ERROR')
  dispatchEvent(new Event('online'))
  await pass(0)
  expect(channels).toHaveLength(2)
  await pass(15_000)
  expect(channels).toHaveLength(2)
  document.dispatchEvent(new Event('visibilitychange'))
  await pass(0)
  expect(channels).toHaveLength(3)
})

it('joins nothing as nobody while somebody is signed in: it would be live and deaf', async () => {
  newest().live()
  locked.mockResolvedValue(true)
  newest().status('CLOSED')
  await pass(1000)
  expect(channels).toHaveLength(1)
  expect(states.at(-1)).toBe('polling')
  locked.mockResolvedValue(false)
  await pass(2000)
  newest().live()
  expect(states.at(-1)).toBe('live')
})

it('is silent after its end', async () => {
  newest().live()
  const last = newest()
  end()
  expect(last.removed).toBe(true)
  last.tell('cron_runs', { eventType: 'UPDATE', new: { id: 'r' }, old: {} })
  last.status('CLOSED')
  dispatchEvent(new Event('online'))
  await pass(60_000)
  expect([changes, states, channels.length]).toEqual([[], ['connecting', 'live'], 1])
})

it('asks for sign-ins of connections only where somebody is signed in: Realtime would refuse all of it', async () => {
  who.kind = 'in'
  end()
  end = subscribeToProjectRealtime('p', () => {})
  await pass(0)
  expect(newest().wanted.map(({ table }) => table)).toEqual([...TABLES, 'cron_connection_requests'])
  who.kind = 'out'
})
