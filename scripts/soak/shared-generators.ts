import type { Carrier } from './carrier.ts'
import type { Facts } from './facts.ts'

/** Generators that everybody drives: they see their driver's values, and nobody sees what they write. */
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
