import { aSyncFunction } from '../callbacks.ts'
import { ContextVar } from '../context/context-var.ts'
import { anyOf, type Check, checkArgument, isFunction } from '../options.ts'
import type { BaggageCodec } from './baggage-members.ts'

/** The part of Standard Schema that is used here: schemas of zod, valibot and arktype have it. https://standardschema.dev */
export interface StandardSchemaLike<T> {
  readonly '~standard': {
    validate(
      value: unknown,
    ):
      | { readonly value: T; readonly issues?: undefined }
      | { readonly issues: readonly unknown[] }
      | PromiseLike<unknown>
  }
}

const aVariable: Check = anyOf('a ContextVar', (value) => value instanceof ContextVar)
const aValidator: Check = anyOf(
  'a synchronous function or a Standard Schema',
  (value) =>
    aSyncFunction.accepts(value) ||
    isFunction((value as Partial<StandardSchemaLike<unknown>> | null | undefined)?.['~standard']?.validate),
)

/**
 * A codec for a member of `w3cBaggage` whose value travels as JSON: `members: { plan: json(plan, isPlan) }`. Another
 * process wrote the text, so each value is validated before it is used.
 *
 * @param validate Returns the value, or `undefined` to refuse it. If it throws, the value is refused too. Or a Standard
 *   Schema that validates synchronously.
 * @throws {TypeError} if an argument has the wrong type.
 */
export function json<T>(
  variable: ContextVar<T, unknown>,
  validate: ((value: unknown) => T | undefined) | StandardSchemaLike<T>,
): BaggageCodec<T> {
  checkArgument('json', aVariable, variable)
  checkArgument('json', aValidator, validate)
  return {
    variable,
    encode: (value) => JSON.stringify(value),
    decode(text) {
      const value: unknown = JSON.parse(text)
      if (typeof validate === 'function') return validate(value)
      const result = validate['~standard'].validate(value)
      // A promise has no value, so it is refused.
      return 'value' in result && result.issues === undefined ? result.value : undefined
    },
  }
}
