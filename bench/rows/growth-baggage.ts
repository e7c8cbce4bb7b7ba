import { type GrowthRow, ours } from '../harness/row.ts'
import { atSizes, pointOf } from './curves.ts'
import { byHand, byOpenTelemetry, byUs, workOf } from './hops.ts'

const [smallest, largest] = [1, 60]

export const growthBaggage: GrowthRow = {
  kind: 'growth',
  name: 'growth-baggage',
  title: 'Members of baggage: extracted and injected',
  about: 'A baggage header and one of its members are read, and the header is written for a call.',
  axis: 'members',
  sides: [
    ...curve(ours, 'ours', () => byUs(['baggage'])),
    ...curve('hand-written scan', 'floor', () => byHand(['baggage'])),
    ...curve('OpenTelemetry', 'peer', () => byOpenTelemetry(['baggage'])),
  ],
  targets: [
    {
      words: `linear: at ${largest} at most ${largest} times what it is at ${smallest}`,
      figure: 'ns',
      against: pointOf(ours, smallest),
      atMost: largest,
    },
  ],
}

function curve(line: string, role: 'ours' | 'floor' | 'peer', make: () => ReturnType<typeof byUs>) {
  return atSizes([smallest, 3, 10, 30, largest], line, role, async (size) => {
    const others = Array.from({ length: size - 1 }, (_, i) => `,member${i}=value${i}`)
    return workOf(await make(), { baggage: `tenant=acme${others.join('')}` })
  })
}
