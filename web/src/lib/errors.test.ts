import { expect, it } from 'vitest'
import { explain, must, toApiError } from './errors'

it.each([
  [{ message: 'TypeError: Failed to fetch', code: '' }, 0, 'unreachable'],
  [{ message: 'upstream', code: '' }, 503, 'unreachable'],
  [{ message: 'Invalid API key' }, 401, 'key'],
  [{ message: 'JWT expired', code: 'PGRST303' }, 401, 'session'],
  [{ message: 'JWT expired', code: 'PGRST301' }, 401, 'session'],
  [{ message: 'you are not a member', code: '42501' }, 403, 'forbidden'],
  [{ message: 'permission denied', code: '42501' }, 401, 'forbidden'],
  [{ message: 'no function', code: 'PGRST202' }, 404, 'schema'],
  [{ message: 'no table', code: 'PGRST205' }, 404, 'schema'],
  [{ message: 'p_mode must be', code: '22023' }, 400, 'refused'],
])('%o with %i is %s', (error, status, kind) => expect(toApiError(error, status).kind).toBe(kind))

it('hands out the data, or throws', () => {
  expect(must({ data: [1], error: null, status: 200 })).toEqual([1])
  expect(() => must({ data: null, error: { message: 'no' }, status: 400 })).toThrow('no')
})

it('explains with the hint', () => {
  expect(explain(toApiError({ message: 'No', code: '42501', hint: 'Ask an admin.' }, 403))).toBe('No. Ask an admin.')
  expect(explain(new Error('odd'))).toBe('odd')
  expect(explain('text')).toBe('text')
})
