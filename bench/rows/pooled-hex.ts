import { randomFillSync } from 'node:crypto'

/** `toString` without the checks. Node has it, its types do not. */
type Latin1Buffer = Buffer & { latin1Slice(start: number, end: number): string }

/** The floor of all ids: hex digits from random bytes that are fetched 4096 at a time. */
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
