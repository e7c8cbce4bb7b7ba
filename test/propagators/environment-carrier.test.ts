import { ROOT_CONTEXT, trace as otelTrace } from '@opentelemetry/api'
import { W3CTraceContextPropagator } from '@opentelemetry/core'
import { EnvironmentSetter } from '@opentelemetry/propagator-env-carrier'
import { execFileSync } from 'node:child_process'
import { ContextVar, LogicalContext } from 'logical-context'
import {
  b3,
  childEnvironment,
  composite,
  type Environment,
  environmentCarrier,
  w3cBaggage,
  w3cTraceContext,
} from 'logical-context/propagators'
import { TraceContext, traceContext } from 'logical-context/variables'
import { describe, expect, it } from 'vitest'

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const spanId = '00f067aa0ba902b7'
const tenant = new ContextVar<string>('tenant')
const propagator = composite([w3cTraceContext(), w3cBaggage({ members: { tenant } })])
const peer = { trace: 'continue', values: true, refuse() {} } as const
const destination = { trace: true, values: true, refuse() {} } as const

describe('environmentCarrier', () => {
  it('reads the variables of the specification', () => {
    const environment = {
      TRACEPARENT: `00-${traceId}-${spanId}-01`,
      TRACESTATE: 'vendor=value',
      BAGGAGE: 'tenant=acme,region=eu',
    }

    const context = propagator.extract(LogicalContext.empty, environmentCarrier(environment), peer)

    const trace = context.get(traceContext)
    expect([trace?.traceId, trace?.parentSpanId, trace?.sampled]).toEqual([traceId, spanId, true])
    expect(trace?.state.get('vendor')).toBe('value')
    expect(context.get(tenant)).toBe('acme')
  })

  it.each([
    ['traceparent', 'TRACEPARENT'],
    ['x-request-id', 'X_REQUEST_ID'],
    ['x.y/z', 'X_Y_Z'],
    ['TraceParent', 'TRACEPARENT'],
    ['1-time', '_1_TIME'],
    ['', '_'],
    ['ß', '_'],
    ['ı', '_'],
    ['__proto__', '__PROTO__'],
  ])('converts the field %j to the name %s, as OpenTelemetry does', (field, name) => {
    const environment: Environment = {}
    const theirs: Record<string, string> = {}

    environmentCarrier(environment).set(field, 'text')
    new EnvironmentSetter(theirs).set(undefined, field, 'text')

    expect(environment).toEqual({ [name]: 'text' })
    expect(theirs).toEqual(environment)
    expect(environmentCarrier(environment).get(field)).toBe('text')
    expect(environmentCarrier(environment).has(field)).toBe(true)
  })

  it.each<[name: string, environment: Environment]>([
    ['unset', {}],
    ['undefined', { TRACEPARENT: undefined }],
    ['empty', { TRACEPARENT: '' }],
    ['in lower case', { traceparent: 'text' }],
    ['inherited', Object.create({ TRACEPARENT: 'text' }) as Environment],
    ['not a text', { TRACEPARENT: 1 as never }],
  ])('has no field for a variable that is %s', (_name, environment) => {
    const carrier = environmentCarrier(environment)

    expect(carrier.get('traceparent')).toBeUndefined()
    expect(carrier.has('traceparent')).toBe(false)
  })

  it('begins a new trace for a malformed variable', () => {
    const refusals: string[] = []
    const refuse = (reason: string, field: string) => refusals.push(`${reason} ${field}`)
    const carrier = environmentCarrier({ TRACEPARENT: 'no trace' })

    const context = propagator.extract(LogicalContext.empty, carrier, { ...peer, refuse })

    expect(context.get(traceContext)?.parentSpanId).toBeUndefined()
    expect(refusals).toEqual(['malformed traceparent'])
  })

  it.each([undefined, null, 'PATH=/bin', [], new Map()])('throws a TypeError for %o', (environment) => {
    expect(() => environmentCarrier(environment as never)).toThrow(
      /^environmentCarrier: expected an object of environment variables, such as process.env, got /,
    )
  })

  it('writes what a program with OpenTelemetry reads', () => {
    const environment: Environment = {}
    const context = LogicalContext.empty.with(traceContext, new TraceContext({ traceId, spanId, flags: 1 }))

    propagator.inject(context, environmentCarrier(environment), destination)

    const getter = {
      keys: () => Object.keys(environment),
      get: (_carrier: unknown, key: string) => environment[key.toUpperCase()],
    }
    const read = new W3CTraceContextPropagator().extract(ROOT_CONTEXT, undefined, getter)
    expect(otelTrace.getSpanContext(read)).toMatchObject({ traceId, spanId, traceFlags: 1 })
  })
})

describe('childEnvironment', () => {
  const parents = { PATH: '/bin', TRACEPARENT: 'old', TraceState: 'old', baggage: 'old', B3: 'old' }

  it('is a copy without the variables of the propagator, in any case', () => {
    const environment = childEnvironment(propagator, parents)

    expect(environment).toStrictEqual({ PATH: '/bin', B3: 'old' })
    expect(Object.keys(parents)).toHaveLength(5)
  })

  it.each([
    ['b3()', b3(), { PATH: '/bin' }],
    ['w3cTraceContext()', w3cTraceContext(), { PATH: '/bin', B3: 'old' }],
  ])('has no trace and no baggage of the parent, with %s alone', (_name, alone, expected) => {
    expect(childEnvironment(alone, parents)).toEqual(expected)
  })

  it('copies process.env by default', () => {
    expect(childEnvironment(b3())).toEqual({ ...process.env })
  })

  it.each([
    ['a propagator', () => childEnvironment(w3cTraceContext as never)],
    ['an object of environment variables', () => childEnvironment(propagator, 'PATH' as never)],
  ])('throws a TypeError without %s', (expected, call) => {
    expect(call).toThrow(new RegExp(`^childEnvironment: expected ${expected}`))
  })

  it('passes the context of the caller to a process, and nothing of the parent of this process', () => {
    const inherited = { ...process.env, TRACESTATE: 'stale=1', BAGGAGE: 'tenant=stale' }
    const program =
      'console.log(JSON.stringify([process.env.TRACEPARENT, process.env.TRACESTATE, process.env.BAGGAGE]))'
    const trace = new TraceContext({ traceId, spanId, flags: 1 })

    const environment = childEnvironment(propagator, inherited)
    propagator.inject(LogicalContext.empty.with(traceContext, trace), environmentCarrier(environment), destination)
    const output = execFileSync(process.execPath, ['-e', program], { env: environment, encoding: 'utf8' })

    expect(JSON.parse(output)).toEqual([`00-${traceId}-${spanId}-01`, null, null])
  })
})
