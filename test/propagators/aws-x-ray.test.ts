import { defaultTextMapGetter, ROOT_CONTEXT, trace as otelTrace } from '@opentelemetry/api'
import { AWSXRayPropagator } from '@opentelemetry/propagator-aws-xray'
import { LogicalContext } from 'logical-context'
import { awsXRay, composite, w3cTraceContext, xRequestId } from 'logical-context/propagators'
import { extractFrom, injectInto } from 'logical-context/testing'
import { requestId, type Sampling, TraceContext, traceContext } from 'logical-context/variables'
import { describe, expect, it } from 'vitest'

const root = '1-5759e988-bd862e3fe1be46a994272793'
const traceId = '5759e988bd862e3fe1be46a994272793'
const parent = '53995c3f42cd8ad8'
const self = '1-67891234-12456789abcdef012345678a'

describe('awsXRay, extracting', () => {
  it.each<[name: string, header: string, spanId: string | undefined, sampling: Sampling]>([
    ['sampled', `Root=${root};Parent=${parent};Sampled=1`, parent, 'accept'],
    ['not sampled', `Root=${root};Parent=${parent};Sampled=0`, parent, 'deny'],
    ['undecided', `Root=${root};Parent=${parent};Sampled=?`, parent, 'defer'],
    ['without a decision', `Root=${root};Parent=${parent}`, parent, 'defer'],
    ['in another order', `Sampled=1;Parent=${parent};Root=${root}`, parent, 'accept'],
    ['with blanks', ` Root = ${root} ; Parent=${parent}; Sampled=1\t`, parent, 'accept'],
    ['with a semicolon at the end', `Root=${root};Parent=${parent};Sampled=1;`, parent, 'accept'],
    [
      'with other parts',
      `Root=${root};Parent=${parent};Sampled=1;Lineage=25:a87bd80c:1;CalledFrom=app`,
      parent,
      'accept',
    ],
    ['of a load balancer that begins a trace', `Root=${root}`, undefined, 'defer'],
    ['of a load balancer that continues a trace', `Self=${self};Root=${root}`, undefined, 'defer'],
    ['of a load balancer, with a part of the client', `Self=${self};Root=${root};CalledFrom=app`, undefined, 'defer'],
    ['of a load balancer, with a decision', `Root=${root};Sampled=1`, undefined, 'accept'],
  ])('reads a header %s', (_name, header, spanId, sampling) => {
    const { context, refusals } = extractFrom(awsXRay(), { 'X-Amzn-Trace-Id': header })

    expect(context.get(traceContext)).toMatchObject({ traceId, parentSpanId: spanId, sampling })
    expect(refusals).toEqual([])
  })

  it.each<[name: string, header: string]>([
    ['nothing', ''],
    ['no root', `Parent=${parent};Sampled=1`],
    ['another version', `Root=2-5759e988-bd862e3fe1be46a994272793`],
    ['a root without dashes', `Root=${traceId}`],
    ['a root that is too short', `Root=${root.slice(1)}`],
    ['a root that is too long', `Root=${root}0`],
    ['a root of zeros', 'Root=1-00000000-000000000000000000000000'],
    ['a root that is not hex', `Root=1-5759e98g-bd862e3fe1be46a994272793`],
    ['a root in upper case', `Root=${root.toUpperCase()}`],
    ['a parent that is too short', `Root=${root};Parent=53995c3f42cd8ad`],
    ['a parent that is not hex', `Root=${root};Parent=53995c3f42cd8adx`],
    ['a parent of zeros', `Root=${root};Parent=0000000000000000`],
    ['an empty parent', `Root=${root};Parent=`],
    ['two roots', `Root=${root};Root=${self}`],
    ['two parents', `Root=${root};Parent=${parent};Parent=${parent}`],
    ['names in another case', `root=${root}`],
    ['a part that is too long', `Root=${root};Lineage=${'a'.repeat(1000)}`],
    ['a megabyte of semicolons', ';'.repeat(1_000_000)],
  ])('begins a trace for %s', (_name, header) => {
    const { context, refusals } = extractFrom(awsXRay(), { 'x-amzn-trace-id': header })

    expect(context.get(traceContext)).toMatchObject({ parentSpanId: undefined, sampling: 'defer' })
    expect(context.get(traceContext)?.traceId).not.toBe(traceId)
    expect(refusals).toEqual(['malformed x-amzn-trace-id'])
  })

  it('refuses two headers, which arrive joined by a comma', () => {
    const { refusals } = extractFrom(awsXRay(), [
      ['x-amzn-trace-id', `Root=${root}`],
      ['x-amzn-trace-id', `Root=${root}`],
    ])

    expect(refusals).toEqual(['duplicate x-amzn-trace-id'])
  })

  it('begins a trace without a link for a root without a span, if the trace is not continued', () => {
    const { context, refusals } = extractFrom(awsXRay(), { 'x-amzn-trace-id': `Root=${root}` }, { trace: 'restart' })

    expect(context.get(traceContext)?.traceId).not.toBe(traceId)
    expect(context.get(traceContext)?.link).toBeUndefined()
    expect(refusals).toEqual(['refused x-amzn-trace-id'])
  })

  it('links to the span of the caller, if the trace is not continued', () => {
    const header = { 'x-amzn-trace-id': `Root=${root};Parent=${parent};Sampled=1` }

    const { context } = extractFrom(awsXRay(), header, { trace: 'restart' })

    expect(context.get(traceContext)?.link).toEqual({ traceId, spanId: parent })
  })

  it('leaves a trace without a span to a later format that finds one, and keeps it otherwise', () => {
    const both = composite([awsXRay(), w3cTraceContext()])
    const w3c = { traceparent: `00-${'a'.repeat(32)}-${'1'.repeat(16)}-01` }

    const balanced = { 'x-amzn-trace-id': `Root=${root}` }
    expect(extractFrom(both, { ...balanced, ...w3c }).context.get(traceContext)?.traceId).toBe('a'.repeat(32))
    expect(extractFrom(both, balanced).context.get(traceContext)?.traceId).toBe(traceId)
  })

  it.each([awsXRay({ requestId: true }), composite([awsXRay({ requestId: true }), xRequestId()])])(
    'takes the root as the request id, as an option',
    (propagator) => {
      const headers = { 'x-amzn-trace-id': `Self=${self};Root=${root}` }

      expect(extractFrom(propagator, headers).context.get(requestId)).toBe(root)
      expect(extractFrom(propagator, headers, { trace: 'restart' }).context.get(requestId)).not.toBe(root)
    },
  )

  it('has no request id for a malformed header, and keeps the one that was found', () => {
    const propagator = awsXRay({ requestId: true })
    const known = LogicalContext.empty.with(requestId, 'known')

    expect(extractFrom(propagator, { 'x-amzn-trace-id': 'Root=1' }).context.has(requestId)).toBe(false)
    expect(extractFrom(propagator, {}).context.has(requestId)).toBe(false)
    expect(extractFrom(propagator, { 'x-amzn-trace-id': `Root=${root}` }, {}, known).context.get(requestId)).toBe(
      'known',
    )
  })

  it('throws a TypeError for an unknown option', () => {
    expect(() => awsXRay({ header: 'x' } as never)).toThrow(/^awsXRay: unknown option 'header'/)
  })
})

describe('awsXRay, injecting', () => {
  it.each<[sampling: Sampling, tail: string]>([
    ['accept', ';Sampled=1'],
    ['debug', ';Sampled=1'],
    ['deny', ';Sampled=0'],
  ])('writes the decision %s', (sampling, tail) => {
    const trace = new TraceContext({ traceId, spanId: parent, sampling })

    const { headers } = injectInto(awsXRay(), LogicalContext.empty.with(traceContext, trace))

    expect(headers).toEqual({ 'x-amzn-trace-id': `Root=${root};Parent=${parent}${tail}` })
  })

  it('writes no decision for a caller that made none', () => {
    const { context } = extractFrom(awsXRay(), { 'x-amzn-trace-id': `Root=${root};Parent=${parent}` })

    const { headers } = injectInto(awsXRay(), context)

    expect(headers['x-amzn-trace-id']).toBe(`Root=${root};Parent=${context.get(traceContext)?.spanId}`)
  })

  it.each([
    ['accept', ';Sampled=1'],
    ['deny', ';Sampled=0'],
    ['defer', ''],
  ] as const)('writes the trace of a load balancer with the option undecided: %s', (undecided, tail) => {
    const { context } = extractFrom(awsXRay(), { 'x-amzn-trace-id': `Self=${self};Root=${root}` })

    const { headers } = injectInto(awsXRay({ undecided }), context)

    expect(headers['x-amzn-trace-id']).toBe(`Root=${root};Parent=${context.get(traceContext)?.spanId}${tail}`)
  })

  it('writes the trace of a load balancer so that OpenTelemetry continues it', () => {
    const { context } = extractFrom(awsXRay(), { 'x-amzn-trace-id': `Root=${root}` })

    const { headers } = injectInto(awsXRay(), context)

    const read = new AWSXRayPropagator().extract(ROOT_CONTEXT, headers, defaultTextMapGetter)
    expect(otelTrace.getSpanContext(read)).toMatchObject({ traceId, traceFlags: 1 })
  })

  it('writes what OpenTelemetry reads, and reads what it writes', () => {
    const theirs = new AWSXRayPropagator()
    const trace = new TraceContext({ traceId, spanId: parent, sampling: 'accept' })
    const getter = { keys: Object.keys, get: (carrier: Record<string, string>, key: string) => carrier[key] }

    const { headers } = injectInto(awsXRay(), LogicalContext.empty.with(traceContext, trace))
    const span = otelTrace.getSpanContext(theirs.extract(ROOT_CONTEXT, headers, getter as never))
    const written: Record<string, string> = {}
    const setter = { set: (carrier: Record<string, string>, key: string, value: string) => (carrier[key] = value) }
    theirs.inject(otelTrace.setSpanContext(ROOT_CONTEXT, span as never), written, setter as never)
    const { context } = extractFrom(awsXRay(), written)

    expect(span).toMatchObject({ traceId, spanId: parent, traceFlags: 1 })
    expect(context.get(traceContext)).toMatchObject({ traceId, parentSpanId: parent, sampling: 'accept' })
  })
})
