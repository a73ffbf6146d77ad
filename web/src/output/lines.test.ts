import { describe, expect, test } from 'vitest'
import { MAX_ROWS, ROW, Rows, type Stream } from './lines'

const ESC = '\x1b'

function rowsOf(...pieces: (string | [Stream, string])[]) {
  const all = new Rows()
  for (const piece of pieces) {
    if (typeof piece === 'string') all.append('stdout', piece)
    else all.append(...piece)
  }
  return all.rows
}

const texts = (...pieces: (string | [Stream, string])[]) => rowsOf(...pieces).map((row) => row.text)

describe('lines', () => {
  test('are cut at newlines, of either kind', () => {
    expect(texts('one\ntwo\r\nthree')).toEqual(['one', 'two', 'three'])
    expect(rowsOf('one\n\ntwo').map((row) => row.line)).toEqual([1, 2, 3])
  })

  test('grow when their rest comes later', () => {
    expect(texts('on', 'e\nt', 'wo\n')).toEqual(['one', 'two'])
  })

  test('begin anew at a carriage return, as on a terminal', () => {
    expect(texts('10 %\r50 %\r100 %\n', 'done')).toEqual(['100 %', 'done'])
    expect(texts('10 %\r', '50 %')).toEqual(['50 %'])
    expect(texts('kept\r')).toEqual(['kept'])
  })

  test('of one stream end where the other one speaks', () => {
    const rows = rowsOf('half', ['stderr', 'oops\n'], 'other half\n')
    expect(rows.map((row) => [row.stream, row.text, row.line])).toEqual([
      ['stdout', 'half', 1],
      ['stderr', 'oops', 2],
      ['stdout', 'other half', 3],
    ])
  })
})

describe('a long line', () => {
  test('is cut into rows, all of it there', () => {
    const line = 'x'.repeat(1_000_000)
    const rows = rowsOf(`${line}\nnext`)
    expect(rows).toHaveLength(Math.ceil(1_000_000 / ROW) + 1)
    expect(
      rows
        .slice(0, -1)
        .map((row) => row.text)
        .join(''),
    ).toBe(line)
    expect(rows.map((row) => row.continued).filter((each) => !each)).toHaveLength(2)
    expect(rows.at(-1)).toMatchObject({ text: 'next', line: 2, continued: false })
  })

  test('is not cut through a character', () => {
    const rows = texts(`a${'😀'.repeat(ROW)}`)
    expect(rows.length).toBeGreaterThan(1)
    for (const row of rows) expect(encodeURIComponent(row)).toBeTruthy() // throws for half a character
  })

  test('of nothing but escape sequences is bounded as well', () => {
    const rows = rowsOf(`${`${ESC}[1m${ESC}[3m`.repeat(125_000)}x`)
    expect(rows.every((row) => row.text.length <= 5000)).toBe(true)
    expect(rows.every((row) => row.sgr.length <= 1000)).toBe(true)
  })
})

describe('styles', () => {
  test('go on over lines and rows, each stream with its own', () => {
    const rows = rowsOf(`${ESC}[31mred\nstill\n`, ['stderr', 'plain\n'], `${ESC}[0mover\n`, 'plain')
    expect(rows.map((row) => row.sgr)).toEqual(['', `${ESC}[31m`, '', `${ESC}[31m`, ''])
    const [, second] = rowsOf(`${ESC}[1m${'x'.repeat(ROW)}y`)
    expect(second).toMatchObject({ text: 'y', sgr: `${ESC}[1m` })
  })

  test('begin no new row', () => {
    expect(texts(`${ESC}[32m  ok${ESC}[0m module ${ESC}[2m(3 ms)${ESC}[0m\nnext`)).toEqual([
      `${ESC}[32m  ok${ESC}[0m module ${ESC}[2m(3 ms)${ESC}[0m`,
      'next',
    ])
  })

  test('that were set before a carriage return are in force after it', () => {
    expect(rowsOf(`${ESC}[32mold\rnew`)[0]).toMatchObject({ text: 'new', sgr: `${ESC}[32m` })
  })
})

test('any way of cutting a text into pieces gives the same rows', () => {
  const text = `a\r\nb ${ESC}[31mred${ESC}[0m\n${ESC}]0;title\x07${'é😀'.repeat(300)}\rpro${ESC}[4mgress\r\n\n${ESC}[38:2::1:2:3mend`
  const whole = rowsOf(text)
  for (let seed = 1; seed <= 200; seed += 1) {
    const pieces: string[] = []
    let state = seed
    for (let from = 0; from < text.length; ) {
      state = (state * 16_807) % 2_147_483_647
      const to = from + 1 + (state % (seed % 2 ? 7 : 200))
      pieces.push(text.slice(from, to))
      from = to
    }
    expect(rowsOf(...pieces)).toEqual(whole)
  }
})

test('of very long output the newest rows are kept, and those that went are counted', () => {
  const all = new Rows()
  const count = MAX_ROWS * 2
  for (let from = 0; from < count; from += 50_000) {
    all.append('stdout', Array.from({ length: 50_000 }, (_, index) => `${from + index + 1}\n`).join(''))
  }
  expect(all.rows.length).toBeLessThanOrEqual(MAX_ROWS * 1.1)
  expect(all.dropped + all.rows.length).toBe(count)
  expect(all.rows.at(-1)).toMatchObject({ text: String(count), line: count })
  all.append('stdout', 'open')
  all.append('stdout', ' line')
  expect(all.rows.at(-1)?.text).toBe('open line')
})

test('styles go on behind what is not kept', () => {
  const all = new Rows()
  all.append('stdout', `${ESC}[31m${'x\n'.repeat(MAX_ROWS + 10)}`)
  expect(all.rows).toHaveLength(MAX_ROWS)
  expect([all.dropped, all.rows[0]?.sgr, all.rows[0]?.line]).toEqual([10, `${ESC}[31m`, 11])
})

test.each([
  ['one line', '0123456789'.repeat(1_000_000)],
  ['lines of a hundred', `${'0123456789'.repeat(10)}\n`.repeat(100_000)],
  ['empty lines', '\n'.repeat(10_000_000)],
  ['colours', `${ESC}[31mred${ESC}[0m\n`.repeat(800_000)],
])('ten megabytes take a moment: %s', (_, text) => {
  const all = new Rows()
  all.append('stdout', text)
  expect(all.rows.length).toBeLessThanOrEqual(MAX_ROWS * 1.1)
})
