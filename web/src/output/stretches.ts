// Makes characters visible that would change how the text around them looks: control characters, and those that reorder
// it or take no room. What a job prints must not be able to disguise itself. Pure.
//
// Joiners (U+200C, U+200D) and variation selectors stay as they are: scripts and emoji need them.

/** A stretch of text; `mark`: it stands for one character that is not shown as itself. */
export interface Stretch {
  text: string
  mark?: string
}

// C0 without tab and newline, DEL, C1, soft hyphen, Arabic letter mark, Mongolian vowel separator, zero width space,
// direction marks, line and paragraph separators, embeddings and overrides, word joiner and invisible operators,
// isolates, deprecated format characters, byte order mark, interlinear annotations, lone surrogates, tag characters.
const UNSEEN =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]|\udb40[\udc00-\udc7f]/g

const NAMES: Readonly<Record<string, string>> = {
  'U+00AD': 'SHY',
  'U+061C': 'ALM',
  'U+200B': 'ZWSP',
  'U+200E': 'LRM',
  'U+200F': 'RLM',
  'U+2028': 'LSEP',
  'U+2029': 'PSEP',
  'U+202A': 'LRE',
  'U+202B': 'RLE',
  'U+202C': 'PDF',
  'U+202D': 'LRO',
  'U+202E': 'RLO',
  'U+2060': 'WJ',
  'U+2066': 'LRI',
  'U+2067': 'RLI',
  'U+2068': 'FSI',
  'U+2069': 'PDI',
  'U+FEFF': 'BOM',
}

/** A control picture (␛), its abbreviation (RLO), else U+xxxx. */
function shown(code: number, name: string): string {
  if (code < 0x20) return String.fromCharCode(0x2400 + code)
  return code === 0x7f ? '\u2421' : (NAMES[name] ?? name)
}

/** `text` in stretches; one without such characters is one stretch. */
export function stretches(text: string): Stretch[] {
  const found: Stretch[] = []
  let from = 0
  for (const match of text.matchAll(UNSEEN)) {
    if (match.index > from) {
      found.push({ text: text.slice(from, match.index) })
    }
    const code = match[0].codePointAt(0) ?? 0
    const mark = `U+${code.toString(16).toUpperCase().padStart(4, '0')}`
    found.push({ text: shown(code, mark), mark })
    from = match.index + match[0].length
  }
  if (from < text.length || found.length === 0) {
    found.push({ text: text.slice(from) })
  }
  return found
}
