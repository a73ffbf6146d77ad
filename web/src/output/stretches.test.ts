import { expect, test } from 'vitest'
import { stretches } from './stretches'

const plain = (text: string) =>
  stretches(text)
    .map((each) => (each.mark ? `[${each.text}]` : each.text))
    .join('')

test('ordinary text of any script is one stretch', () => {
  for (const text of ['', 'plain', 'שלום', 'مرحبا', '日本語', 'क्‍ष', '👨‍👩‍👧', 'tab\there', '❤️']) {
    expect(stretches(text)).toEqual([{ text }])
  }
})

test.each([
  ['invoice\u202egpj.exe', 'invoice[RLO]gpj.exe'],
  ['\u2066isolated\u2069', '[LRI]isolated[PDI]'],
  ['a\u200bb\ufeffc', 'a[ZWSP]b[BOM]c'],
  ['bell\x07 esc\x1b del\x7f', 'bell[␇] esc[␛] del[␡]'],
  ['c1\x9b', 'c1[U+009B]'],
  ['tag\u{e0041}', 'tag[U+E0041]'],
  ['lone\ud800x', 'lone[U+D800]x'],
])('what disguises text is shown: %j', (text, shown) => {
  expect(plain(text)).toBe(shown)
})

test('a mark says which character it stands for', () => {
  expect(stretches('a\u202eb')).toEqual([{ text: 'a' }, { text: 'RLO', mark: 'U+202E' }, { text: 'b' }])
})
