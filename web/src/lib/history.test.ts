import { expect, test } from 'vitest'
import { filtersOf, fromLocalInput, narrowed, placeInQuery, placeOf, toLocalInput } from './history'

const ID = '0197a0b4-7d3e-7c3c-9e43-0242ac120002'
const query = (text: string) => new URLSearchParams(text)

test('filters are what the address says, and nothing that it cannot mean', () => {
  expect(
    filtersOf(query('status=error,lost,constructor&trigger=request&job=a/b&agent=mini&from=2026-11-28T00:00:00Z&to=tomorrow')),
  ).toEqual({
    statuses: ['error', 'lost'],
    triggers: ['request'],
    jobId: 'a/b',
    agentId: 'mini',
    since: '2026-11-28T00:00:00Z',
    until: undefined,
  })
  expect(filtersOf(query(''))).toEqual({ statuses: [], triggers: [] })
  expect([narrowed(filtersOf(query(''))), narrowed(filtersOf(query('agent=mini')))]).toEqual([false, true])
})

test('a place survives the address to the microsecond', () => {
  const next = JSON.stringify({ at: '2026-11-28T12:00:00.123456+00:00', id: ID })
  expect(placeOf(query(new URLSearchParams({ before: placeInQuery(next) }).toString()))).toBe(next)
  expect(placeOf(query('before=nonsense'))).toBeUndefined()
  expect(placeOf(query(`before=yesterday~${ID}`))).toBeUndefined()
})

test('instants in the fields of a form are those of this place', () => {
  const instant = '2026-11-28T12:34:00.000Z'
  expect(fromLocalInput(toLocalInput(instant))).toBe(instant)
  expect([toLocalInput(undefined), fromLocalInput(''), fromLocalInput('later')]).toEqual(['', undefined, undefined])
})
