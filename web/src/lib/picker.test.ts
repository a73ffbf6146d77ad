import { describe, expect, it } from 'vitest'
import { nearest, picked } from './picker'

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
