import { describe, expect, it } from 'vitest'
import { kept, nearest, picked } from './picker'

describe('picked', () => {
  it('walks along the marks and stays at their ends', () => {
    expect(['ArrowRight', 'ArrowLeft', 'Home', 'End'].map((key) => picked(key, 1, 3))).toEqual([2, 0, 0, 2])
    expect([picked('ArrowRight', 2, 3), picked('ArrowLeft', 0, 3)]).toEqual([2, 0])
  })

  it('begins at the end that the key comes from', () => {
    expect([picked('ArrowRight', null, 3), picked('ArrowLeft', null, 3)]).toEqual([0, 2])
  })

  it('leaves other keys and empty rows alone', () => {
    expect([picked('Tab', 1, 3), picked('ArrowRight', null, 0)]).toEqual([null, null])
  })
})

describe('nearest', () => {
  const marks = [
    { x: 0.1, width: 0 },
    { x: 0.2, width: 0.4 },
    { x: 0.9, width: 0 },
  ]

  it('takes the mark under the pointer, else the nearest within reach', () => {
    expect([0.12, 0.3, 0.61, 0.89].map((x) => nearest(marks, x, 0.05))).toEqual([0, 1, 1, 2])
  })

  it('takes none where none is near', () => {
    expect(nearest(marks, 0.75, 0.05)).toBeNull()
    expect(nearest([], 0.5, 1)).toBeNull()
  })
})

describe('kept', () => {
  const marks = ['a', 'b', 'c'].map((key, index) => ({ key, x: index / 10, width: 0.05 }))

  it('follows the mark wherever it went', () => {
    expect(kept(marks, { key: 'b', x: 0.9 })).toBe(1)
    expect(kept([{ key: 'new', x: 0, width: 0.05 }, ...marks], { key: 'b', x: 0.1 })).toBe(2)
  })

  it('takes what stands in its place when it is gone', () => {
    expect(kept(marks, { key: 'gone', x: 0.11 })).toBe(1)
    expect(kept(marks, { key: 'gone', x: 0.9 })).toBe(2)
    expect(kept(marks, { key: 'gone', x: -5 })).toBe(0)
  })

  it('chooses nothing of nothing', () => {
    expect(kept([], { key: 'b', x: 0.1 })).toBeNull()
    expect(kept(marks, null)).toBeNull()
  })
})
