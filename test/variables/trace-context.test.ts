import { type Sampling, TraceContext, Tracestate } from 'logical-context/variables'
import { describe, expect, it } from 'vitest'

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const spanId = '00f067aa0ba902b7'

describe('TraceContext', () => {
  it('is the root of a new trace, with the random flag, without a decision to record it', () => {
    const trace = new TraceContext()

    expect(trace.traceId).toMatch(/^[0-9a-f]{32}$/)
    expect(trace.spanId).toMatch(/^[0-9a-f]{16}$/)
    expect(trace).toMatchObject({
      flags: 2,
      sampling: 'defer',
      sampled: false,
      parentSpanId: undefined,
      link: undefined,
    })
    expect(trace.state).toBe(Tracestate.empty)
  })

  it('keeps the span id that it has shown', () => {
    const trace = new TraceContext()

    expect(trace.spanId).toBe(trace.spanId)
  })

  it.each<[name: string, init: { flags?: number; sampling?: Sampling }, flags: number, sampling: Sampling]>([
    ['no flags', {}, 0, 'defer'],
    ['flags that are not set', { flags: 0 }, 0, 'deny'],
    ['the sampled flag', { flags: 1 }, 1, 'accept'],
    ['both flags', { flags: 3 }, 3, 'accept'],
    ['deny', { sampling: 'deny' }, 0, 'deny'],
    ['accept', { sampling: 'accept' }, 1, 'accept'],
    ['debug, which is to be recorded', { sampling: 'debug' }, 1, 'debug'],
    ['defer above the sampled flag', { flags: 3, sampling: 'defer' }, 2, 'defer'],
    ['debug above a flag that is not set', { flags: 2, sampling: 'debug' }, 3, 'debug'],
  ])('says one thing by flags and sampling: %s', (_name, init, flags, sampling) => {
    expect(new TraceContext({ traceId, ...init })).toMatchObject({ flags, sampling, sampled: (flags & 1) === 1 })
  })

  it('has children in the same trace', () => {
    const state = Tracestate.parse('a=1')
    const trace = new TraceContext({ traceId, spanId, flags: 3, sampling: 'debug', state })

    const child = trace.child()

    expect(child).toMatchObject({ traceId, parentSpanId: spanId, flags: 3, sampling: 'debug', link: undefined })
    expect(child.state).toBe(state)
    expect(child.spanId).not.toBe(spanId)
  })

  it('restarts as a new trace that links to it, and keeps neither the decision nor the list', () => {
    const trace = new TraceContext({ traceId, spanId, flags: 1, state: Tracestate.parse('a=1') })

    const restarted = trace.restart()

    expect(restarted).toMatchObject({ parentSpanId: undefined, flags: 2, sampling: 'defer', link: { traceId, spanId } })
    expect(restarted.traceId).not.toBe(traceId)
    expect(String(restarted.state)).toBe('')
  })
})
