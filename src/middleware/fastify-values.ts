import type { FastifyRequest } from 'fastify'
import { isPromise } from '../callbacks.ts'
import { LogicalContext } from '../context/logical-context.ts'
import { show } from '../options.ts'
import type { RequestScope } from '../tasks/request-scope.ts'
import { withGivenValues } from './given-values.ts'

/** The option `values` of the plugin. */
export type StartValues = (request: FastifyRequest) => LogicalContext | undefined

/** Runs `fn` in the unit of a request, with the failure of `values` if there is one. */
export function beginWith(
  scope: RequestScope,
  values: StartValues,
  request: FastifyRequest,
  fn: (error?: Error) => void,
): void {
  scope.begin(() => fn(startWith(scope, values, request)))
}

/** Sets the values of the option `values`, below those that a test sends. Returns its failure. */
function startWith(scope: RequestScope, values: StartValues, request: FastifyRequest): Error | undefined {
  try {
    const context: unknown = values(request)
    if (context === undefined) return undefined
    if (isPromise(context) || !(context instanceof LogicalContext)) {
      throw new TypeError(`logicalContext: option 'values' expected to return a LogicalContext, got ${show(context)}.`)
    }
    scope.cell.merge(withGivenValues(context, request.headers).toValues())
    return undefined
  } catch (error) {
    return error instanceof Error ? error : new Error(`logicalContext: option 'values' threw ${show(error)}.`)
  }
}
