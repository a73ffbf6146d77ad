// What is text and what is not in a stream that was meant for a terminal (ECMA-48). Pure.
//
// Colours and styles (SGR) are kept, everything else that a terminal would obey (cursor, title, links, modes) is taken
// out. What never ends, or is longer than any honest sequence, is text.

const LONGEST = 4096
/** CSI; OSC up to BEL or ST; DCS, SOS, PM, APC up to ST; the two- and three-character ones. */
const ESCAPE = new RegExp(
  [
    String.raw`\x1b\[[0-?]{0,256}[ -/]{0,16}[@-~]`,
    String.raw`\x1b\][^\x07\x1b]{0,${LONGEST}}(?:\x07|\x1b\\)`,
    String.raw`\x1b[PX^_][^\x1b]{0,${LONGEST}}\x1b\\`,
    String.raw`\x1b[ -/]{1,4}[0-~]`,
    String.raw`\x1b[0-OQ-WYZ\\\`-~]`,
  ].join('|'),
  'g',
)
// biome-ignore lint/suspicious/noControlCharactersInRegex: ESC begins them
const SGR = /^\x1b\[[\d;:]*m$/
// biome-ignore lint/suspicious/noControlCharactersInRegex: ESC begins them
const RESET = /^\x1b\[[0;]*m$/

/** Text without escapes, or one SGR sequence with semicolons only. */
export type Token = { text: string } | { sgr: string }

/** `line` as text and SGR sequences; other sequences are left out. */
export function* tokens(line: string): Generator<Token> {
  let from = 0
  for (const match of line.matchAll(ESCAPE)) {
    if (match.index > from) {
      yield { text: line.slice(from, match.index) }
    }
    if (SGR.test(match[0])) {
      yield { sgr: withSemicolons(match[0]) }
    }
    from = match.index + match[0].length
  }
  if (from < line.length) {
    yield { text: line.slice(from) }
  }
}

/** What must be written to be in the same state after `sgr` as after `state` and `sgr`; bounded. */
export function carried(state: string, sgr: string): string {
  if (RESET.test(sgr)) {
    return ''
  }
  const all = state.endsWith(sgr) ? state : state + sgr
  return all.length <= 512 ? all : all.slice(all.indexOf('\x1b', all.length - 256))
}

/** `38:2::1:2:3` (ITU T.416) as `38;2;1;2;3`, kinds of underlines as underline. */
function withSemicolons(sgr: string): string {
  if (!sgr.includes(':')) {
    return sgr
  }
  const params = sgr
    .slice(2, -1)
    .split(';')
    .map((each) => {
      const [kind, ...rest] = each.split(':')
      if (kind === '38' || kind === '48') {
        return [kind, ...(rest[0] === '2' ? ['2', ...rest.slice(-3)] : rest)].join(';')
      }
      return kind === '4' && rest[0] === '0' ? '24' : kind
    })
  return `\x1b[${params.join(';')}m`
}

/** The text alone. */
export function stripped(text: string): string {
  if (!text.includes('\x1b')) {
    return text
  }
  return Array.from(tokens(text), (token) => ('text' in token ? token.text : '')).join('')
}
