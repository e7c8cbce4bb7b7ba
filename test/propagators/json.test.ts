import { ContextVar, LogicalContext, runInScope } from 'logical-context'
import { Messages } from 'logical-context/messages/message'
import { carrierOf, json, type StandardSchemaLike, w3cBaggage } from 'logical-context/propagators'
import { describe, expect, it } from 'vitest'

interface Plan {
  readonly name: string
  readonly seats: number
}
const plan = new ContextVar<Plan>('plan')

function isPlan(value: unknown): Plan | undefined {
  const { name, seats } = value as Partial<Plan>
  return typeof name === 'string' && typeof seats === 'number' ? { name, seats } : undefined
}

const schema: StandardSchemaLike<Plan> = {
  '~standard': {
    validate(value) {
      const found = isPlan(value)
      return found === undefined ? { issues: ['no plan'] } : { value: found }
    },
  },
}

/** What a receiver reads from a header, and what it refused. */
function read(text: string, validate: Parameters<typeof json<Plan>>[1]): [Plan | undefined, string[]] {
  const refused: string[] = []
  const propagator = w3cBaggage({ members: { plan: json(plan, validate) } })
  const refuse = (reason: string, field: string) => void refused.push(`${field} ${reason}`)
  const context = propagator.extract(LogicalContext.empty, carrierOf({ baggage: `plan=${encodeURIComponent(text)}` }), {
    trace: 'continue',
    values: true,
    refuse,
  })
  return [context.get(plan), refused]
}

describe('json', () => {
  it('carries a value of any shape through a message', async () => {
    const messages = new Messages('test', { propagators: [w3cBaggage({ members: { plan: json(plan, isPlan) } })] })
    const value = { name: 'größer, "more"; 100%', seats: 3 }
    const fields = runInScope(() => (plan.set(value), messages.capture('jobs')))

    expect(await messages.process({ queue: 'jobs', fields }, () => plan.get())).toEqual(value)
  })

  it.each<[name: string, validate: Parameters<typeof json<Plan>>[1]]>([
    ['a function', isPlan],
    ['a Standard Schema', schema],
  ])('uses what %s accepts, and refuses the rest', (_, validate) => {
    expect(read('{"name":"pro","seats":1,"admin":true}', validate)).toEqual([{ name: 'pro', seats: 1 }, []])
    for (const text of ['{"name":"pro"}', 'null', '"pro"', '{', '', '[]', '{"__proto__":{"name":"a","seats":1}}']) {
      expect(read(text, validate)).toEqual([undefined, ['baggage.plan refused']])
    }
  })

  it('refuses what an asynchronous schema returns', () => {
    const later: StandardSchemaLike<Plan> = { '~standard': { validate: (value) => Promise.resolve({ value }) } }

    expect(read('{"name":"pro","seats":1}', later)).toEqual([undefined, ['baggage.plan refused']])
  })

  it.each<[string, () => unknown, RegExp]>([
    ['no variable', () => json('plan' as never, isPlan), /json: expected a ContextVar, got 'plan'/],
    [
      'no validation',
      () => json(plan, undefined as never),
      /json: expected a synchronous function or a Standard Schema/,
    ],
    ['an async function', () => json(plan, (async () => {}) as never), /json: expected a synchronous function/],
  ])('refuses %s', (_, call, message) => {
    expect(call).toThrow(message)
  })
})
