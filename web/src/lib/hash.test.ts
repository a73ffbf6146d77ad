import { act, createElement } from 'react'
import { createRoot, type Root } from 'react-dom/client'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { isUuid, navigate, to, useFilters, useRouteId } from './hash'

Object.assign(globalThis, { IS_REACT_ACT_ENVIRONMENT: true })
let root: Root | undefined
beforeEach(() => history.replaceState(null, '', '#/jobs'))
afterEach(() => act(() => root?.unmount()))

/** What a hook returns after each render. */
function watch<T>(hook: () => T): { current: T } {
  const seen = {} as { current: T }
  root = createRoot(document.createElement('div'))
  const probe = createElement(Probe, {
    look: () => {
      seen.current = hook()
    },
  })
  act(() => root?.render(probe))
  return seen
}

function Probe({ look }: { look: () => unknown }) {
  look()
  return null
}

it.each(['a/b', '100%', 'a%2Fb', '../x', 'ünï', '#?&', ' '])('brings the id %j back as it was', (id) => {
  navigate(to.job(id))
  expect(watch(useRouteId).current).toBe(id)
})

it('keeps filters in the hash, without new entries in the history', () => {
  const filters = watch(useFilters)
  const before = history.length
  act(() => filters.current[1]({ status: 'error', q: 'a b' }))
  expect(location.hash).toBe('#/jobs?status=error&q=a+b')
  act(() => filters.current[1]({ status: undefined }))
  expect(filters.current[0].get('q')).toBe('a b')
  act(() => filters.current[1]({ q: '' }))
  expect(location.hash).toBe('#/jobs')
  expect(history.length).toBe(before)
})

it('makes an entry for each page', () => {
  const before = history.length
  navigate(to.runs({ job: 'x y' }))
  expect(location.hash).toBe('#/runs?job=x+y')
  navigate(to.runs({ job: 'x y' }))
  expect(history.length).toBe(before + 1)
})

it('tells an id of a row from anything else', () => {
  expect(isUuid('0197a0b4-7d3e-7c3c-9e43-0242AC120002')).toBe(true)
  for (const text of ['', 'bad', '0197a0b4-7d3e-7c3c-9e43-0242ac120002 ', '0197a0b47d3e7c3c9e430242ac120002'])
    expect(isUuid(text)).toBe(false)
})
