import { beforeEach, expect, it, vi } from 'vitest'
import { keyProblem, loadConfiguration, rememberConfiguration, urlProblem } from './configuration'

const URL_ = 'https://abc.supabase.co'
const KEY = 'sb_publishable_x'
const jwt = (role: string) => `eyJhbGciOiJIUzI1NiJ9.${btoa(JSON.stringify({ role })).replace(/=+$/, '')}.sig`
const answers = (body: unknown, status = 200) => vi.fn(async () => new Response(JSON.stringify(body), { status }))
const missing = () => vi.fn(async () => new Response('<!doctype html>', { status: 200 }))

beforeEach(() => localStorage.clear())

it.each([KEY, jwt('anon')])('takes the publishable key %s', (key) => expect(keyProblem(key)).toBeUndefined())

it.each(['sb_secret_x', jwt('service_role')])('refuses the secret key %s', (key) => expect(keyProblem(key)).toContain('secret key'))

it.each(['', 'password', 'eyJ.broken.jwt', jwt('authenticated')])('does not take %j for a key', (key) => {
  expect(keyProblem(key)).toBeTruthy()
})

it.each([URL_, 'http://127.0.0.1:54321', 'http://localhost:1', 'http://192.168.1.4:8000', 'http://mini.local'])(
  'takes the URL %s',
  (url) => {
    expect(urlProblem(url)).toBeUndefined()
  },
)

it.each(['', 'abc.supabase.co', 'http://abc.supabase.co', 'javascript:alert(1)', 'http://127.evil.example'])(
  'refuses the URL %j',
  (url) => {
    expect(urlProblem(url)).toBeTruthy()
  },
)

it('reads config.json, which wins over what was entered', async () => {
  rememberConfiguration({ url: 'https://entered.supabase.co', key: KEY })
  const loaded = await loadConfiguration(answers({ url: `${URL_}/`, key: KEY, project: ' home-lab ', local: true }))
  expect(loaded).toMatchObject({ kind: 'ready', from: 'file', configuration: { url: URL_, project: 'home-lab', local: true } })
})

it.each([answers({}, 404), answers({}), missing(), vi.fn(async () => Promise.reject(new TypeError('offline')))])(
  'without a config.json takes what was entered',
  async (get) => {
    expect(await loadConfiguration(get)).toEqual({ kind: 'unset' })
    rememberConfiguration({ url: URL_, key: KEY, local: true })
    const loaded = await loadConfiguration(get)
    expect(loaded).toMatchObject({ kind: 'ready', from: 'entered', configuration: { url: URL_, local: false } })
  },
)

it('names a secret key in config.json, and keeps it out of what is shown', async () => {
  const loaded = await loadConfiguration(answers({ url: URL_, key: 'sb_secret_x' }))
  expect(loaded).toMatchObject({ kind: 'unset', entered: { url: URL_, key: undefined } })
  expect(loaded.kind === 'unset' && loaded.problem).toContain('secret key')
})

it('survives a storage with rubbish in it', async () => {
  localStorage.setItem('cronmirror.configuration', '{"url":')
  expect(await loadConfiguration(answers({}, 404))).toEqual({ kind: 'unset' })
})
