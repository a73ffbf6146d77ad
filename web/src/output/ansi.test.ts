import { describe, expect, test } from 'vitest'
import { contrast, INK, type Rgb, readable, SCREEN, spans } from './ansi'
import { tokens } from './escapes'

const ESC = '\x1b'
const textOf = (line: string) => [...tokens(line)].map((token) => ('text' in token ? token.text : '')).join('')

describe('escape sequences', () => {
  test.each([
    ['cursor', `a${ESC}[2Kb${ESC}[1;1Hc${ESC}[?25l`, 'abc'],
    ['title', `a${ESC}]0;rm -rf /\x07b`, 'ab'],
    ['link', `${ESC}]8;;javascript:alert(1)${ESC}\\here${ESC}]8;;${ESC}\\`, 'here'],
    ['device control', `a${ESC}P1$tq${ESC}\\b`, 'ab'],
    ['character set', `${ESC}(Ba${ESC}cb`, 'ab'],
    ['keyboard modes', `${ESC}[>4;1ma`, 'a'],
  ])('that a terminal would obey are taken out: %s', (_, line, text) => {
    expect(textOf(line)).toBe(text)
  })

  test('that never end are text: nothing disappears behind one', () => {
    expect(textOf(`a${ESC}]0;no end`)).toBe(`a${ESC}]0;no end`)
    expect(textOf(`${ESC}]${'x'.repeat(5000)}\x07b`)).toContain('xxx')
    expect(textOf(`a${ESC}`)).toBe(`a${ESC}`)
  })

  test('with colons are read like those with semicolons', () => {
    expect([...tokens(`${ESC}[38:2::10:200:30mx`)]).toEqual([{ sgr: `${ESC}[38;2;10;200;30m` }, { text: 'x' }])
    expect([...tokens(`${ESC}[48:5:200;1m`)]).toEqual([{ sgr: `${ESC}[48;5;200;1m` }])
    expect([...tokens(`${ESC}[4:3m${ESC}[4:0m`)]).toEqual([{ sgr: `${ESC}[4m` }, { sgr: `${ESC}[24m` }])
  })

  test('in a flood take no more than a moment', () => {
    const began = performance.now()
    textOf(`${ESC}]`.repeat(100_000))
    textOf(`${ESC}[`.repeat(300_000))
    textOf(`${ESC}P`.repeat(100_000))
    expect(performance.now() - began).toBeLessThan(10_000)
  })
})

describe('spans', () => {
  test('of plain text are one', () => {
    expect(spans('<b>x</b>')).toMatchObject([{ text: '<b>x</b>', bold: false }])
    expect(spans('')).toEqual([])
  })

  test('keep colours and styles', () => {
    const [red, rest] = spans(`${ESC}[1;31mred${ESC}[0;3;4;9mrest`)
    expect(red).toMatchObject({ text: 'red', bold: true, color: [240, 113, 120] })
    expect(rest).toMatchObject({ text: 'rest', bold: false, italic: true, underline: true, strike: true })
    expect(rest?.color).toBeUndefined()
  })

  test('begin with what was in force', () => {
    expect(spans('x', `${ESC}[32m`)[0]?.color).toEqual([152, 195, 121])
  })

  test('know 256 colours and true colour', () => {
    expect(spans(`${ESC}[38;5;231mx`)[0]?.color).toEqual([255, 255, 255])
    expect(spans(`${ESC}[38;5;9mx`)[0]?.color).toEqual([255, 135, 135])
    expect(spans(`${ESC}[48;5;255mx`)[0]?.background).toEqual([238, 238, 238])
    expect(spans(`${ESC}[38;2;200;210;220mx`)[0]?.color).toEqual([200, 210, 220])
  })

  test.each([
    ['hidden', `${ESC}[8mpassword`],
    ['black on black', `${ESC}[30;40msecret`],
    ['the screen’s own colour', `${ESC}[38;2;21;24;30msecret`],
    ['white on white', `${ESC}[97;107msecret`],
    ['reversed', `${ESC}[7msecret`],
    ['dim blue on black', `${ESC}[2;34;40msecret`],
  ])('can be read: %s', (_, text) => {
    const [span] = spans(text)
    expect(contrast(span?.color ?? INK, span?.background ?? SCREEN)).toBeGreaterThanOrEqual(4.5)
  })

  test('that a terminal would not show are shown, paler', () => {
    expect(spans(`${ESC}[8mpassword`)[0]).toMatchObject({ text: 'password', dim: true })
  })

  test('of every colour can be read on every colour', () => {
    const levels = [0, 64, 128, 192, 255]
    const colors = levels.flatMap((r) => levels.flatMap((g) => levels.map((b): Rgb => [r, g, b])))
    for (const color of colors) {
      for (const background of colors) {
        expect(contrast(readable(color, background), background)).toBeGreaterThanOrEqual(4.5)
      }
    }
  })
})
