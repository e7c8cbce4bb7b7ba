import { describe, expect, it, onTestFinished } from 'vitest'
import type { Exchange } from '../../src/middleware/exchange.ts'
import { Exchanges } from '../../src/middleware/exchanges.ts'

describe('Exchanges.closeSoon', () => {
  it('closes all exchanges of a turn, also after one whose close throws', async () => {
    const exchanges = new Exchanges(1000, () => {})
    const closed: string[] = []
    const exchange = (name: string, error?: Error) =>
      ({
        close() {
          closed.push(name)
          if (error !== undefined) throw error
        },
      }) as Exchange
    const thrown = new Promise((resolve) => process.setUncaughtExceptionCaptureCallback(resolve))
    onTestFinished(() => process.setUncaughtExceptionCaptureCallback(null))

    exchanges.closeSoon(exchange('a', new Error('of a span processor')))
    exchanges.closeSoon(exchange('b'))

    expect(closed).toEqual([])
    expect(await thrown).toMatchObject({ message: 'of a span processor' })
    expect(closed).toEqual(['a', 'b'])
  })
})
