import { expect, test } from 'vitest'
import { find } from './find'
import { Rows } from './lines'

test('words are found whatever their case, across colours, in rows that are not drawn', () => {
  const all = new Rows()
  all.append('stdout', 'one\n\x1b[31mEr\x1b[0mror: two\nthree\nan error again\n')
  expect(find(all.rows, 'ERROR')).toEqual([1, 3])
  expect(find(all.rows, 'ERROR', 1)).toEqual([1])
  expect([find(all.rows, ''), find(all.rows, '[31m')]).toEqual([[], []])
})
