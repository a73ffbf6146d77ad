import { beforeEach, expect, it, vi } from 'vitest'
import { redirectUri, rememberBegun, returned, takeReturn } from './returns'
import { memory } from './store'

const BEGUN = { requestId: 'r-1', projectId: 'home', connectionId: 'drive' }
const STATE = 'state-of-this-browser'

/** As when a provider sends the browser back. */
function comeBack(query: string): void {
  history.replaceState(null, '', `/tools/cron/${query}#/jobs`)
  takeReturn()
}

beforeEach(() => {
  vi.useRealTimers()
  localStorage.clear()
  returned.set(undefined)
})

it('takes code and state out of the address at once, with no new entry in the history', () => {
  rememberBegun(STATE, BEGUN)
  const entries = history.length
  comeBack(`?code=the-code&state=${STATE}`)
  expect(location.search).toBe('')
  expect(location.href).not.toContain('the-code')
  expect(location.href).not.toContain(STATE)
  expect(location.pathname).toBe('/tools/cron/')
  expect(location.hash).toBe('#/connections?project=home&id=drive')
  expect(history.length).toBe(entries)
})

it('hands over what belongs to a sign-in of this browser, and that once', () => {
  rememberBegun(STATE, BEGUN)
  comeBack(`?code=the-code&state=${STATE}&scope=mail&authuser=0`)
  expect(returned.get()).toMatchObject({ kind: 'code', begun: BEGUN, state: STATE, code: 'the-code' })
  comeBack(`?code=the-code&state=${STATE}`)
  expect(returned.get()).toEqual({ kind: 'foreign' })
})

it('uses nothing of a sign-in that this browser did not begin, or long ago', () => {
  rememberBegun(STATE, BEGUN)
  comeBack('?code=of-somebody-else&state=of-somebody-else')
  expect(returned.get()).toEqual({ kind: 'foreign' })
  expect(location.href).not.toContain('somebody')
  comeBack('?code=without-a-state')
  expect(returned.get()).toEqual({ kind: 'foreign' })
  vi.useFakeTimers({ now: Date.now() + 10 * 60_000 + 1 })
  comeBack(`?code=late&state=${STATE}`)
  expect(returned.get()).toEqual({ kind: 'foreign' })
})

it('tells what the provider refused', () => {
  rememberBegun(STATE, BEGUN)
  comeBack(`?error=access_denied&error_description=You+said+no&state=${STATE}`)
  expect(returned.get()).toMatchObject({ kind: 'refused', begun: BEGUN, error: 'access_denied: You said no' })
  expect(location.search).toBe('')
})

it('hands over what else may name the account', () => {
  rememberBegun(STATE, BEGUN)
  comeBack(`?code=a%2Bb&state=${STATE}&realmId=42&iss=https%3A%2F%2Fx`)
  expect(returned.get()).toMatchObject({ code: '?code=a%2Bb&realmId=42' })
})

it('leaves an address alone that no provider made', () => {
  comeBack('?utm=1')
  expect(location.search).toBe('?utm=1')
  expect(location.hash).toBe('#/jobs')
  expect(returned.get()).toBeUndefined()
})

it('keeps no code and no token in the browser, and forgets sign-ins that are past', () => {
  vi.useFakeTimers({ now: Date.now() - 20 * 60_000 })
  rememberBegun('old', BEGUN)
  vi.useRealTimers()
  rememberBegun(STATE, BEGUN)
  expect(memory.entries('cronmirror.reconnect.').map(([state]) => state)).toEqual([STATE])
  comeBack(`?code=the-code&state=${STATE}`)
  expect(JSON.stringify(localStorage)).not.toContain('the-code')
  expect(memory.entries('cronmirror.reconnect.')).toEqual([])
})

it('names this page itself as the way back, without what is behind the path', () => {
  const at = (href: string) => redirectUri(new URL(href) as unknown as Location)
  expect(at('https://x.example/tools/cron/?a=1#/jobs')).toBe('https://x.example/tools/cron/')
  expect(at('https://x.example/index.html#/jobs')).toBe('https://x.example/')
  expect(at('http://127.0.0.1:8642/#/connections')).toBe('http://127.0.0.1:8642/')
})
