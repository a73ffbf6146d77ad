import type { AuthChangeEvent, Session } from '@supabase/supabase-js'
import { beforeEach, expect, it, vi } from 'vitest'
import { memory } from './store'
import { chooseProject, connect, currentProject, serverNow, session, settleProject, signIn, signOut, takeSignIn } from './supabase'

type Told = (event: AuthChangeEvent, session: Session | null) => void
const fake = vi.hoisted(() => ({
  tell: (() => {}) as Told,
  fetch: (() => {}) as unknown as typeof fetch,
  auth: { setSession: vi.fn(), signInWithPassword: vi.fn(), signOut: vi.fn() },
}))
vi.mock('@supabase/supabase-js', () => ({
  createClient: (_url: string, _key: string, options: { global: { fetch: typeof fetch } }) => {
    fake.fetch = options.global.fetch
    return {
      auth: {
        ...fake.auth,
        onAuthStateChange: (told: Told) => {
          fake.tell = told
        },
      },
    }
  },
}))

const CONFIGURED = { url: 'https://abc.supabase.co', key: 'sb_publishable_x', project: 'home-lab' }
const STORED = 'cronmirror.session.abc.supabase.co'
const LINK = '#/signin?access_token=a&refresh_token=r'
const sessionOf = (id: string, email?: string) => ({ user: { id, email } }) as Session

beforeEach(() => {
  localStorage.clear()
  vi.clearAllMocks()
  session.set({ kind: 'loading' })
  currentProject.set(undefined)
  location.hash = ''
})

it.each(['#/jobs', '#/signin', '#/signin?access_token=a', '#/jobs?access_token=a&refresh_token=r', ''])('finds no sign-in in %j', (hash) =>
  expect(takeSignIn(hash)).toBeUndefined(),
)

it.each([
  [undefined, 0],
  [false, 0],
  [true, 1],
])('uses a sign-in link where config.json says local: %j; takes it out of the address either way', async (local, times) => {
  location.hash = LINK
  await connect({ ...CONFIGURED, local })
  expect(fake.auth.setSession).toHaveBeenCalledTimes(times)
  expect(location.hash).toBe('#/jobs')
})

it('says who it is: at once from what is kept, and then as Supabase does', async () => {
  memory.write(STORED, JSON.stringify(sessionOf('me', 'me@x')))
  await connect(CONFIGURED)
  expect(session.get()).toEqual({ kind: 'in', userId: 'me', email: 'me@x' })
  const same = session.get()
  fake.tell('INITIAL_SESSION', sessionOf('me', 'me@x'))
  expect(session.get()).toBe(same)
  fake.tell('SIGNED_IN', sessionOf('you'))
  expect(session.get()).toEqual({ kind: 'in', userId: 'you', email: 'you' })
})

it.each(['', 'rubbish', '{}', '{"user":{"id":3}}', 'null'])('is not fooled by %j in the storage', async (kept) => {
  memory.write(STORED, kept)
  await connect(CONFIGURED)
  expect(session.get()).toEqual({ kind: 'loading' })
})

it('stays signed in while the session cannot be renewed, until Supabase says that it has ended', async () => {
  memory.write(STORED, JSON.stringify(sessionOf('me')))
  await connect(CONFIGURED)
  fake.tell('INITIAL_SESSION', null)
  expect(session.get().kind).toBe('in')
  memory.write(STORED, undefined)
  fake.tell('SIGNED_OUT', null)
  expect(session.get()).toEqual({ kind: 'out', ended: true })
  fake.tell('INITIAL_SESSION', null)
  expect(session.get()).toEqual({ kind: 'out', ended: true })
})

it('tells a sign-out from an end', async () => {
  await connect(CONFIGURED)
  fake.tell('INITIAL_SESSION', null)
  expect(session.get()).toEqual({ kind: 'out', ended: false })
  fake.tell('SIGNED_IN', sessionOf('me'))
  fake.auth.signOut.mockImplementation(async () => fake.tell('SIGNED_OUT', null))
  await signOut()
  expect(session.get()).toEqual({ kind: 'out', ended: false })
})

it('never asks the tables as nobody while somebody is signed in: they would answer with nothing', async () => {
  const network = vi.spyOn(globalThis, 'fetch').mockImplementation(async () => new Response('[]'))
  await connect(CONFIGURED)
  const ask = (token: string, path = '/rest/v1/cron_mirror') =>
    fake.fetch(CONFIGURED.url + path, { headers: { authorization: `Bearer ${token}` } })
  fake.tell('INITIAL_SESSION', null)
  await ask(CONFIGURED.key)
  fake.tell('SIGNED_IN', sessionOf('me'))
  await ask('a token')
  await ask(CONFIGURED.key, '/auth/v1/token')
  expect(network).toHaveBeenCalledTimes(3)
  await expect(ask(CONFIGURED.key)).rejects.toThrow('could not be renewed')
  expect(network).toHaveBeenCalledTimes(3)
  network.mockRestore()
})

it.each([
  [3_600_000, 3_600_000],
  [500, 0],
])('goes by the clock of the server when it is %i ms ahead', async (ahead, counted) => {
  const date = new Date(Date.now() + ahead).toUTCString()
  const network = vi.spyOn(globalThis, 'fetch').mockImplementation(async () => new Response('[]', { headers: { date } }))
  await connect(CONFIGURED)
  await fake.fetch(`${CONFIGURED.url}/rest/v1/`)
  expect(Math.abs(serverNow() - Date.now() - counted)).toBeLessThan(1500)
  network.mockRestore()
})

it.each([
  [{ code: 'invalid_credentials' }, 'E-mail address or password is wrong.'],
  [{ status: 429 }, 'Too many attempts. Wait a minute.'],
  [{ name: 'AuthRetryableFetchError' }, 'Supabase cannot be reached right now.'],
  [{ message: 'something else' }, 'something else'],
  [null, undefined],
])('says of %j: %s', async (error, said) => {
  fake.auth.signInWithPassword.mockResolvedValue({ error })
  await connect(CONFIGURED)
  expect(await signIn('me@x', 'p')).toBe(said)
})

it('chooses the project of last time, else the configured one, else the first', async () => {
  await connect(CONFIGURED)
  expect(settleProject(['a', 'home-lab'])).toBe('home-lab')
  currentProject.set(undefined)
  chooseProject('a')
  currentProject.set(undefined)
  expect(settleProject(['b', 'a', 'home-lab'])).toBe('a')
  currentProject.set(undefined)
  expect(settleProject(['b'])).toBe('b')
  expect(settleProject([])).toBeUndefined()
})
