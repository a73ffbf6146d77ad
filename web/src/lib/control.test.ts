import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { controlApi, controlState, withControl } from './control'
import type { CronMirrorJob } from './rows'

const configured = vi.hoisted(() => ({ controlUrl: undefined as string | undefined, token: 'token' as string | undefined }))
vi.mock('./supabase', () => ({
  configuration: () => configured,
  supabase: () => ({ auth: { getSession: async () => ({ data: { session: configured.token && { access_token: configured.token } } }) } }),
}))

type Handler = (path: string, init: RequestInit) => Response | Promise<Response>
const asked: { path: string; init: RequestInit }[] = []
const json = (body: unknown, status = 200) => new Response(JSON.stringify(body), { status })
const healthy = () => json({ service: 'cronmirror', api: 1 })
const lost = () => Promise.reject(new TypeError('Failed to fetch'))
/** A Control API that is there and answers like this. */
function there(handle: Handler = () => json({}, 404), health: () => Response | Promise<Response> = healthy) {
  vi.stubGlobal('fetch', async (url: string, init: RequestInit) => {
    const path = url.replace('http://127.0.0.1:9', '')
    asked.push({ path, init })
    return path === '/healthz' ? health() : handle(path, init)
  })
}
const posted = () => asked.filter(({ init }) => init.method === 'POST')

beforeEach(async () => {
  asked.length = 0
  Object.assign(configured, { controlUrl: 'http://127.0.0.1:9', token: 'token' })
  there()
  await controlApi.check()
  asked.length = 0
})
afterEach(() => vi.unstubAllGlobals())

it('asks nobody where none is configured', async () => {
  configured.controlUrl = undefined
  await controlApi.check()
  expect(controlState.get()).toBe('unset')
  expect(await controlApi.runJob('p', 'a', 'id', undefined)).toBeUndefined()
  expect(await controlApi.getJobs('p')).toBeUndefined()
  expect(asked).toEqual([])
})

it.each(['http://control.example', 'javascript:alert(1)', 'ftp://127.0.0.1'])('sends no token to %s', async (url) => {
  configured.controlUrl = url
  await controlApi.check()
  expect(controlState.get()).toBe('refused')
  expect(await controlApi.runJob('p', 'a', 'id', undefined)).toBeUndefined()
  expect(asked).toEqual([])
})

it.each([
  ['does not answer', lost],
  ['answers with a page', () => new Response('<!doctype html>')],
  ['is another service', () => json({ status: 'ok' })],
  ['has a fault', () => json({ service: 'cronmirror' }, 500)],
])('is not reachable when it %s, and is left alone for a while', async (_, health) => {
  there(undefined, health)
  await controlApi.check()
  expect(controlState.get()).toBe('unreachable')
  expect(await controlApi.runJob('p', 'a', 'id', undefined)).toBeUndefined()
  expect(asked.map(({ path }) => path)).toEqual(['/healthz'])

  vi.useFakeTimers({ now: Date.now() + 31_000 })
  there()
  await controlApi.getJobs('p')
  expect(controlState.get()).toBe('reachable')
  vi.useRealTimers()
})

it('runs a job as the signed-in person, and never with cookies or after a redirect', async () => {
  there(() => json({ agentId: 'mac' }, 202))
  const run = await controlApi.runJob('home lab', 'a/b', 'id-1', { width: 3 })
  expect(run).toEqual({ ok: true, direct: true, runId: 'id-1', agentIds: ['mac'] })
  const [{ path, init } = { path: '', init: {} }] = posted()
  expect(path).toBe('/v1/projects/home%20lab/jobs/a%2Fb/run')
  expect(init.headers).toEqual({ authorization: 'Bearer token', 'content-type': 'application/json' })
  expect(JSON.parse(String(init.body))).toEqual({ id: 'id-1', payload: { width: 3 } })
  expect(init).toMatchObject({ credentials: 'omit', redirect: 'error', cache: 'no-store' })
})

it('asks without a token where nobody is signed in', async () => {
  configured.token = undefined
  there(() => json({ agentId: 'mac' }, 202))
  await controlApi.runJob('p', 'a', 'id', undefined)
  expect(posted()[0]?.init.headers).toEqual({ 'content-type': 'application/json' })
})

it('asks again with the same id when the answer was lost', async () => {
  let first = true
  there(() => {
    if (!first) return json({ agentId: 'mac' }, 202)
    first = false
    return lost()
  })
  expect(await controlApi.runJob('p', 'a', 'id', undefined)).toMatchObject({ ok: true })
  expect(posted().map(({ init }) => JSON.parse(String(init.body)).id)).toEqual(['id', 'id'])
})

it.each([
  ['never comes', lost],
  ['cannot be read', () => new Response('<html>', { status: 502 })],
  ['is a fault', () => json({ error: 'a trace' }, 500)],
])('neither runs nor queues it a second time when the answer %s', async (_, answer) => {
  there(answer)
  const run = await controlApi.runJob('p', 'a', 'id', undefined)
  expect(run).toEqual({ ok: false, error: expect.stringContaining('did not say whether it runs') })
  expect(posted()).toHaveLength(2)
})

it.each([401, 404, 405, 501, 503])('leaves it to the queue after %i: it certainly does not run there', async (status) => {
  there(() => json({ error: 'no' }, status))
  expect(await controlApi.runJob('p', 'a', 'id', undefined)).toBeUndefined()
  expect(posted()).toHaveLength(1)
})

it.each([403, 409, 422, 429])('shows why it was refused (%i), and does not go round it through the queue', async (status) => {
  there(() => json({ error: 'the job is paused' }, status))
  expect(await controlApi.runJob('p', 'a', 'id', undefined)).toEqual({ ok: false, error: 'the job is paused' })
  expect(posted()).toHaveLength(1)
})

it('takes its jobs for what they are, and nothing else', async () => {
  there(() => json({ jobs: [{ jobId: 'a', name: 'A', enabled: false }, { jobId: 'b', name: 3 }, null, 'x', { name: 'no id' }] }))
  const jobs = await controlApi.getJobs('p')
  expect(jobs).toMatchObject([
    { id: 'control:a', projectId: 'p', jobId: 'a', name: 'A', enabled: false, agentIds: [], consecutiveFailures: 0 },
    { id: 'control:b', jobId: 'b', name: 'b', enabled: true },
  ])
  there(() => json({ jobs: 'none' }))
  expect(await controlApi.getJobs('p')).toBeUndefined()
})

it('corrects the mirror by what the agent says, row by row', () => {
  const job = (jobId: string, more = {}) => ({ id: `uuid-${jobId}`, jobId, name: jobId, agentIds: ['mac'], ...more }) as CronMirrorJob
  const mirrored = [job('a', { enabled: true }), job('of-another-agent')]
  const told = [job('a', { id: 'control:a', enabled: false, agentIds: [] }), job('new', { id: 'control:new' })]
  expect(withControl(mirrored, told)).toMatchObject([
    { id: 'uuid-a', enabled: false, agentIds: ['mac'] },
    { id: 'uuid-of-another-agent' },
    { id: 'control:new' },
  ])
})
