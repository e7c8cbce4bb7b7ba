import { randomFillSync } from 'node:crypto'

/** Node has it, and its types do not: `toString` without the detours. */
type Latin1Buffer = Buffer & { latin1Slice(start: number, end: number): string }

/** So many hex digits at a time, of random bytes that are fetched 4096 at once: the floor of all ids. */
export function pooledHex(digits: number): () => string {
  const bytes = Buffer.allocUnsafeSlow(4096)
  const text = Buffer.allocUnsafeSlow(2 * bytes.length) as Latin1Buffer
  let next = text.length
  return () => {
    if (next + digits > text.length) {
      text.write(randomFillSync(bytes).toString('hex'), 'latin1')
      next = 0
    }
    return text.latin1Slice(next, (next += digits))
  }
}
