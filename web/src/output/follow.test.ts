import { expect, test } from 'vitest'
import { follow, type Source } from './follow'
import { LATE_MS, Output, type Piece } from './output'

const shown = (output: Output) => output.rows.rows.map((row) => row.text)
const out = (seq: number, text: string): Piece => ({ seq, stream: 'stdout', text })

/** A run whose pieces come by the clock; time passes where somebody waits. */
class Stage implements Source {
  time = 0
  reads = 0
  readonly waited: number[] = []
  constructor(
    readonly pieces: [number, Piece][],
    readonly overAt: number,
    readonly page = 1000,
    readonly failing: (reads: number) => boolean = () => false,
  ) {}
  read = async (after: number) => {
    this.reads += 1
    if (this.failing(this.reads)) throw new Error('unreachable')
    const found = this.pieces.filter(([at, piece]) => at <= this.time && piece.seq > after).map(([, piece]) => piece)
    return { pieces: found.slice(0, this.page), full: found.length > this.page }
  }
  over = () => this.time >= this.overAt
  report = async () => ({ output: 'from the report\n' })
  wait = async (ms: number) => {
    this.waited.push(ms)
    this.time += ms
  }
  now = () => this.time
  reached = () => undefined
}

const followed = async (stage: Stage) => {
  const output = new Output()
  await follow(output, stage, new AbortController().signal)
  return output
}

test('what is printed is shown to the last piece, and then nobody asks any more', async () => {
  const stage = new Stage(
    [
      [0, out(0, 'a\n')],
      [900, out(1, 'b\n')],
      [2100, out(2, 'c\n')],
      [2400, out(3, '')],
    ],
    2000,
  )
  const output = await followed(stage)
  expect(shown(output)).toEqual(['a', 'b', 'c'])
  expect(output.source).toBe('live')
  expect(stage.time).toBeLessThan(3000)
})

test('pages are read without a pause', async () => {
  const pieces = Array.from({ length: 25 }, (_, seq): [number, Piece] => [0, out(seq, seq === 24 ? '' : `${seq}\n`)])
  const stage = new Stage(pieces, 0, 10)
  expect(shown(await followed(stage))).toHaveLength(24)
  expect([stage.reads, stage.waited]).toEqual([3, []])
})

test('a run that was over before its first piece shows its report at once', async () => {
  const stage = new Stage([], 0)
  expect(shown(await followed(stage))).toEqual(['from the report'])
  expect(stage.waited).toEqual([])
})

test('where the last piece never comes, or one is missing, the report is shown', async () => {
  const cut = new Stage([[0, out(0, 'half')]], 1000)
  expect(shown(await followed(cut))).toEqual(['from the report'])
  expect(cut.time).toBeGreaterThanOrEqual(1000 + LATE_MS)
  expect(
    shown(
      await followed(
        new Stage(
          [
            [0, out(1, 'b')],
            [0, out(2, '')],
          ],
          0,
        ),
      ),
    ),
  ).toEqual(['from the report'])
})

test('a reading that fails is tried again, and what is shown stays', async () => {
  const stage = new Stage(
    [
      [0, out(0, 'a\n')],
      [3000, out(1, 'b\n')],
      [3000, out(2, '')],
    ],
    3000,
    1000,
    (reads) => reads > 1 && reads < 8,
  )
  expect(shown(await followed(stage))).toEqual(['a', 'b'])
})

test('who looks away asks nothing more', async () => {
  const stop = new AbortController()
  const stage = new Stage([], 1e9)
  stage.wait = async (ms) => {
    stage.time += ms
    if (stage.time >= 3000) stop.abort()
  }
  await follow(new Output(), stage, stop.signal)
  expect(stage.reads).toBe(3)
})
