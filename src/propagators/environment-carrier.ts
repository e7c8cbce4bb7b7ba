import { isPromise } from 'node:util/types'
import { anyOf, type Check, checkArgument } from '../options.ts'
import type { Carrier } from './carrier.ts'
import { isPropagator, type Propagator } from './propagator.ts'

/** Environment variables by their names, such as `process.env`. */
export type Environment = Record<string, string | undefined>

const anEnvironment: Check = anyOf(
  'an object of environment variables, such as process.env',
  (value) =>
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Map) &&
    !isPromise(value),
)
const aPropagator: Check = anyOf('a propagator', isPropagator)

/**
 * A carrier over environment variables: `traceparent` is the variable `TRACEPARENT`. It reads and writes the object
 * itself. A variable without characters is absent, as an unset one.
 *
 * @throws {TypeError} if it is not an object.
 * @see {@link https://opentelemetry.io/docs/specs/otel/context/env-carriers/ OpenTelemetry, "Environment Variables as Context Propagation Carriers"}
 */
export function environmentCarrier(environment: Environment): Carrier {
  checkArgument('environmentCarrier', anEnvironment, environment)
  const get = (name: string) => {
    const variable = variableOf(name)
    const text: unknown = Object.hasOwn(environment, variable) ? environment[variable] : undefined
    return typeof text === 'string' && text !== '' ? text : undefined
  }
  return {
    get,
    has: (name) => get(name) !== undefined,
    set(name, value) {
      environment[variableOf(name)] = value
    },
  }
}

/** Those of the specification: a child may read them, also if the propagator writes another format. */
const standardVariables = ['TRACEPARENT', 'TRACESTATE', 'BAGGAGE']

/**
 * A copy of the environment without the variables that the propagator can write, and without `TRACEPARENT`, `TRACESTATE`
 * and `BAGGAGE`, in any case. A child process that inherits these variables would continue the trace of another process's
 * parent. Write to the copy with `environmentCarrier`.
 *
 * @param environment Default: `process.env`.
 * @throws {TypeError} if an argument has the wrong type.
 */
export function childEnvironment(propagator: Propagator, environment: Environment = process.env): Environment {
  checkArgument('childEnvironment', aPropagator, propagator)
  checkArgument('childEnvironment', anEnvironment, environment)
  const written = new Set([...standardVariables, ...propagator.fields.map(variableOf)])
  // Names differ in case on POSIX. On Windows they do not: two spellings in one object are one variable.
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !written.has(name.toUpperCase())))
}

/** "Key Name Normalization" of the specification, 1.58.0. */
function variableOf(field: string): string {
  const name = field.replace(/[a-z]/g, (letter) => letter.toUpperCase()).replace(/[^A-Z0-9_]/g, '_')
  return name === '' || /^\d/.test(name) ? `_${name}` : name
}
