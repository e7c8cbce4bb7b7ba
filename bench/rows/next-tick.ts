import assert from 'node:assert/strict'
import { setImmediate } from 'node:timers/promises'
import type { MicroRow, Role, Side } from '../harness/row.ts'
import { dropTickShape, keepsTickShape } from '../harness/tick-shape.ts'

const collections = 20

export const nextTick: MicroRow = {
  kind: 'micro',
  name: 'next-tick',
  title: `process.nextTick after ${collections} full garbage collections`,
  about:
    'No side has code of this library. V8 forgets the shape of the objects that `nextTick` creates if a full garbage ' +
    'collection finds none of them, and `nextTick` stays slow. The last side keeps one of these objects, as every ' +
    'timed process of this benchmark does. A request of Fastify calls `nextTick` four times.',
  sides: [
    side('no collection', 'floor', { collect: 0, keep: false }),
    side(`${collections} collections`, 'reference', { collect: collections, keep: false }),
    side(`${collections} collections, one object is kept`, 'reference', { collect: collections, keep: true }),
  ],
  targets: [],
  newestNodeOnly: true,
}

function side(name: string, role: Role, { collect, keep }: { collect: number; keep: boolean }): Side {
  return {
    name,
    role,
    async setup() {
      if (!keep) dropTickShape()
      for (let i = 0; i < collect; i++) {
        await tick()
        // Without an object of `nextTick` on the stack.
        await setImmediate()
        globalThis.gc?.()
      }
      return {
        op: tick,
        awaited: true,
        check() {
          assert.equal(keepsTickShape(), keep)
          assert.equal(typeof globalThis.gc, 'function')
        },
      }
    },
  }
}

function tick(): Promise<void> {
  return new Promise((resolve) => process.nextTick(resolve))
}
