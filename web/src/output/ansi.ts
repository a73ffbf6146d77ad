// The colours of output, kept and made readable: a job's colours are data, and data must not hide text (black on
// black, "hidden") nor be unreadable (WCAG 2.2, 1.4.3: 4.5:1). Pure; `anser` reads the sequences.

import Anser from 'anser'

export type Rgb = readonly [number, number, number]

export interface Span {
  text: string
  color?: Rgb
  background?: Rgb
  bold: boolean
  italic: boolean
  underline: boolean
  strike: boolean
  dim: boolean
}

/** The output is a dark screen in both themes: colours of terminals are made for one. */
export const SCREEN: Rgb = [21, 24, 30]
export const INK: Rgb = [216, 222, 233]
const DIM: Rgb = [150, 158, 172]
const ENOUGH = 4.5

const NAMED: Readonly<Record<string, Rgb>> = {
  black: [59, 66, 82],
  red: [240, 113, 120],
  green: [152, 195, 121],
  yellow: [229, 192, 123],
  blue: [97, 165, 250],
  magenta: [209, 140, 230],
  cyan: [86, 194, 206],
  white: [216, 222, 233],
  'bright-black': [140, 148, 162],
  'bright-red': [255, 135, 135],
  'bright-green': [170, 225, 140],
  'bright-yellow': [250, 215, 145],
  'bright-blue': [140, 190, 255],
  'bright-magenta': [230, 170, 250],
  'bright-cyan': [120, 220, 232],
  'bright-white': [255, 255, 255],
}
const LEVELS = [0, 95, 135, 175, 215, 255] as const

/** The spans of one row, given what is in force where it begins. */
export function spans(text: string, sgr = ''): Span[] {
  if (sgr === '' && !text.includes('\x1b')) {
    return text === '' ? [] : [{ text, bold: false, italic: false, underline: false, strike: false, dim: false }]
  }
  return Anser.ansiToJson(sgr + text, { use_classes: true, remove_empty: true }).map(spanOf)
}

function spanOf(entry: Anser.AnserJsonEntry): Span {
  const has = new Set(entry.decorations)
  const dim = has.has('dim') || has.has('hidden')
  let color = rgb(entry.fg, entry.fg_truecolor)
  let background = rgb(entry.bg, entry.bg_truecolor)
  if (has.has('reverse')) {
    ;[color, background] = [background ?? SCREEN, color ?? INK]
  }
  if (color || background || dim) {
    color = readable(color ?? (dim ? DIM : INK), background ?? SCREEN)
  }
  return {
    text: entry.content,
    ...(color && { color }),
    ...(background && { background }),
    bold: has.has('bold'),
    italic: has.has('italic'),
    underline: has.has('underline'),
    strike: has.has('strikethrough'),
    dim,
  }
}

/** anser's class name as a colour. */
function rgb(name: string | null, trueColor: string | null): Rgb | undefined {
  if (!name) {
    return undefined
  }
  if (name === 'ansi-truecolor') {
    const [r = 0, g = 0, b = 0] = (trueColor ?? '').split(',').map(Number)
    return [r, g, b]
  }
  const palette = /^ansi-palette-(\d+)$/.exec(name)
  return palette ? paletteColor(Number(palette[1])) : NAMED[name.replace('ansi-', '')]
}

/** 16–231: a cube of six levels; 232–255: greys. */
function paletteColor(index: number): Rgb {
  if (index >= 232) {
    const grey = 8 + (index - 232) * 10
    return [grey, grey, grey]
  }
  const cell = index - 16
  const level = (n: number) => LEVELS[n % 6] ?? 0
  return [level(Math.floor(cell / 36)), level(Math.floor(cell / 6)), level(cell)]
}

/** `color`, moved towards white or black until it can be read on `background`. */
export function readable(color: Rgb, background: Rgb): Rgb {
  const goal = contrast([255, 255, 255], background) >= contrast([0, 0, 0], background) ? 255 : 0
  for (let step = 0; step <= 10; step += 1) {
    const mixed = color.map((each) => Math.round(each + ((goal - each) * step) / 10)) as unknown as Rgb
    if (contrast(mixed, background) >= ENOUGH) {
      return mixed
    }
  }
  return [goal, goal, goal]
}

/** Contrast ratio of WCAG 2.2, 1 to 21. */
export function contrast(one: Rgb, other: Rgb): number {
  const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a) as [number, number]
  return (light + 0.05) / (dark + 0.05)
}

function luminance(color: Rgb): number {
  const [r, g, b] = color.map((each) => {
    const part = each / 255
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
  }) as [number, number, number]
  return 0.2126 * r + 0.7152 * g + 0.0722 * b
}
