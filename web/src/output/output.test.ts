import { describe, expect, test, vi } from 'vitest'
import { Output, type Piece } from './output'

const out = (seq: number, text: string): Piece => ({ seq, stream: 'stdout', text })
const err = (seq: number, text: string): Piece => ({ seq, stream: 'stderr', text })
const shown = (output: Output) => output.rows.rows.map((row) => row.text)

describe('live', () => {
  test('pieces are shown once, however often they come', () => {
    const output = new Output()
    output.take([out(0, 'a\n'), out(1, 'b\n')])
    output.take([out(1, 'b\n'), out(2, 'c\n')])
    expect(shown(output)).toEqual(['a', 'b', 'c'])
    expect(output.last).toBe(2)
  })

  test('is complete when the empty last piece has come and none is missing', () => {
    const output = new Output()
    output.take([out(0, 'a')])
    expect([output.ended, output.complete]).toEqual([false, false])
    output.take([err(1, 'b'), out(2, '')])
    expect([output.ended, output.complete]).toEqual([true, true])
    const gap = new Output()
    gap.take([out(0, 'a'), out(2, 'c'), out(3, '')])
    expect([gap.ended, gap.complete]).toEqual([true, false])
  })

  test('tells its watchers of every change and of nothing else', () => {
    const output = new Output()
    const told = vi.fn()
    const stop = output.subscribe(told)
    output.take([out(0, 'a')])
    output.take([out(0, 'a')])
    expect(told).toHaveBeenCalledTimes(1)
    stop()
    output.take([out(1, 'b')])
    expect(told).toHaveBeenCalledTimes(1)
  })

  test('one stream can be looked at, also while more comes', () => {
    const output = new Output()
    output.take([out(0, 'a\n'), err(1, 'oops\n')])
    output.choose('stderr')
    output.take([out(2, 'b\n'), err(3, 'again\n')])
    expect(shown(output)).toEqual(['oops', 'again'])
    output.choose('all')
    expect(shown(output)).toEqual(['a', 'oops', 'b', 'again'])
    expect(output.lastErrors(1)).toBe('again')
  })
})

describe('a report', () => {
  test('takes the place of pieces that are not all there', () => {
    const output = new Output()
    output.take([out(0, 'half')])
    output.settle({ output: 'all\nof it\n', stdout: 'of it\n', stderr: 'all\n' })
    expect(shown(output)).toEqual(['all', 'of it'])
    expect(output.raw()).toBe('all\nof it\n')
    output.choose('stderr')
    expect(shown(output)).toEqual(['all'])
    output.take([out(1, 'late')])
    expect(shown(output)).toEqual(['all'])
  })

  test('with streams alone shows the error first', () => {
    const output = new Output()
    output.settle({ stdout: 'fine\n', stderr: 'broken\n' })
    expect(shown(output)).toEqual(['broken', 'fine'])
    expect(output.streams).toBe(true)
  })

  test('of a run that wrote to one stream alone is the whole of that, not the end of both', () => {
    const output = new Output()
    output.settle({ output: 'of it\n', stdout: 'all\nof it\n', stderr: '' })
    expect(shown(output)).toEqual(['all', 'of it'])
  })

  test('of a run without a request cannot tell its streams apart', () => {
    const output = new Output()
    output.settle({ output: 'x' })
    expect([output.streams, output.lastErrors(5)]).toEqual([false, ''])
  })
})

test('is copied without escape sequences and downloaded as it was printed', () => {
  const output = new Output()
  output.take([out(0, '\x1b[31mre'), out(1, 'd\x1b[0m\x1b]0;title\x07\n')])
  expect(output.text()).toBe('red\n')
  expect(output.raw()).toBe('\x1b[31mred\x1b[0m\x1b]0;title\x07\n')
})
