import type { Carrier } from './carrier.ts'
import type { Facts } from './facts.ts'

/** Generators that all requests drive. They see the values of their driver; their own writes are not visible outside. */
export function sharedGenerators(carrier: Carrier): readonly (Generator<Facts, void> | AsyncGenerator<Facts, void>)[] {
  const own = { step: 'the generator/s' }
  const generate = carrier.isolate(function* () {
    carrier.write(own)
    for (;;) yield carrier.read()
  })
  const generateAsync = carrier.isolate(async function* () {
    carrier.write(own)
    for (;;) {
      await Promise.resolve()
      yield carrier.read()
    }
  })
  return [generate(), generateAsync()]
}
