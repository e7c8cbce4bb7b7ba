import assert from 'node:assert/strict'
import { randomBytes, randomUUID } from 'node:crypto'
import { type MicroRow, ours, type Side } from '../harness/row.ts'
import { pooledHex } from './pooled-hex.ts'

export const ids: readonly MicroRow[] = [idsOf('trace', 32), idsOf('span', 16)]

function idsOf(kind: 'trace' | 'span', digits: 16 | 32): MicroRow {
  return {
    kind: 'micro',
    name: `${kind}-id`,
    title: `A ${kind} id`,
    about: `${digits} random hex digits; all ids differ.${kind === 'trace' ? ' `randomUUID` adds four dashes.' : ''}`,
    sides: [
      side('pooled random bytes', 'floor', digits, () => pooledHex(digits)),
      side(ours, 'ours', digits, async () => {
        const { newSpanId, newTraceId } = await import('../../src/variables/ids.ts')
        return kind === 'trace' ? newTraceId : newSpanId
      }),
      side('randomBytes', 'peer', digits, () => () => randomBytes(digits / 2).toString('hex')),
      side('OpenTelemetry', 'peer', digits, async () => {
        const { RandomIdGenerator } = await import('@opentelemetry/sdk-trace')
        const generator = new RandomIdGenerator()
        return () => (kind === 'trace' ? generator.generateTraceId() : generator.generateSpanId())
      }),
      // A UUID has the length of a trace id, not of a span id.
      ...(kind === 'trace' ? [side('randomUUID', 'peer', 36, () => () => randomUUID())] : []),
    ],
    targets: [],
  }
}

function side(
  name: string,
  role: Side['role'],
  length: number,
  generator: () => (() => string) | Promise<() => string>,
): Side {
  return {
    name,
    role,
    async setup() {
      const op = await generator()
      return {
        op,
        check() {
          const made = Array.from({ length: 5000 }, op)
          assert.equal(new Set(made).size, made.length)
          for (const id of made) assert.ok(id.length === length && /^[0-9a-f-]+$/.test(id), id)
        },
      }
    },
  }
}
