import type { FuzzTarget } from './target.ts'

/** Pieces that are expensive for a careless parser in large numbers. */
export const worstPieces: readonly string[] = [
  ...[' ', '\t', ',', '=', ';', ':', '.', '-', '/', '%', '"', '\\', '@', '\n', '\0', 'a', '0', 'F', 'é', '\ud800'],
  ...[
    ' ,',
    'a=,',
    'a=1,',
    'a=1;b=2;',
    '%C3',
    '%2C',
    'a b',
    'a.',
    '1:',
    '::',
    '//',
    '__proto__=1,',
    'baggage: a=1\n',
    '\na: b',
  ],
]

/** A text that is twice as long may take so much more time: twice, and what garbage and caches add. */
export const maxRatio = 2.5

/** Twice the first one is below the limit of baggage, 8192 bytes: a text that is not read would seem fast. */
const lengths = [1536, 16 * 1024] as const
/** A sample is so long that the clock's steps do not matter, and there are so many that a median has a meaning. */
const sampleMs = 0.1
const samples = 11
/** The machine may be busy with something else for once, not always. */
const attempts = 12

/** How much longer the parser takes for a text twice as long, at the worst length. */
export async function doublingRatio(target: FuzzTarget, piece: string): Promise<number> {
  let worst = 0
  for (const length of lengths) worst = Math.max(worst, await leastRatio(target, piece, length))
  return worst
}

/** The least of a few ratios of medians of interleaved samples. */
async function leastRatio(target: FuzzTarget, piece: string, length: number): Promise<number> {
  let least = Number.POSITIVE_INFINITY
  for (let attempt = 0; attempt < attempts && least > maxRatio; attempt++) {
    // Other lengths each time: at some of them the double one is the first that a cache does not hold.
    const [single, double] = inputsFor(target, piece, length - (attempt * length) / 16)
    const times = await timesFor(target, single)
    const measured: [number[], number[]] = [[], []]
    for (let sample = 0; sample < samples; sample++) {
      measured[0].push(await timeOf(target, single, times))
      measured[1].push(await timeOf(target, double, times))
    }
    least = Math.min(least, medianOf(measured[1]) / medianOf(measured[0]))
  }
  return least
}

function inputsFor({ frame = (text) => text }: FuzzTarget, piece: string, length: number): [string, string] {
  const count = Math.floor(length / piece.length)
  return [frame(piece.repeat(count)), frame(piece.repeat(2 * count))]
}

/** How often a sample repeats its work. */
async function timesFor(target: FuzzTarget, input: string): Promise<number> {
  let times = 1
  while ((await timeOf(target, input, times)) < sampleMs && times < 1 << 20) times *= 2
  return times
}

async function timeOf(target: FuzzTarget, input: string, times: number): Promise<number> {
  const startedAt = performance.now()
  for (let time = 0; time < times; time++) {
    const read = target.read(input)
    if (read instanceof Promise) await read
  }
  return performance.now() - startedAt
}

function medianOf(values: number[]): number {
  return values.toSorted((left, right) => left - right)[values.length >> 1] as number
}
