import type { DiagLogger } from '@opentelemetry/api'
import type { OpenTelemetryApi } from './index.ts'
import { asText } from './span-fields.ts'

/** The API makes this key by `Symbol.for`, with its major version. */
const globalsKey: unique symbol = Symbol.for('opentelemetry.js.api.1') as never

/** What any copy of the API registered in this process under a name, or undefined. */
export function registered(name: 'context' | 'diag' | 'metrics' | 'trace'): unknown {
  return (globalThis as { [globalsKey]?: Record<string, unknown> })[globalsKey]?.[name]
}

/** A key that no other code has. */
const probeKey: symbol = Symbol('logical-context.probe')

/** Reports once what is wrong with the set-up, when the first unit opens: an SDK may be registered until then. */
export class Diagnosis {
  readonly #api: OpenTelemetryApi
  #state: 'unchecked' | 'missing' | 'checked' = 'unchecked'
  #failureReported = false

  constructor(api: OpenTelemetryApi) {
    this.#api = api
  }

  check(): void {
    if (this.#state === 'checked') return
    const provider = registered('trace')
    if (provider !== undefined) this.#checkRegistered(provider)
    else if (this.#state === 'unchecked') {
      this.#state = 'missing'
      this.#warn('no tracer provider is registered, so there are no spans. Set up the SDK before the server starts.')
    }
  }

  /** Reports the first failure of a tracer or a processor. The work continues. */
  failed(error: unknown): void {
    if (this.#failureReported) return
    this.#failureReported = true
    this.#warn(`a span could not be started or ended: ${asText(error)}. The work goes on.`)
  }

  #checkRegistered(provider: unknown): void {
    const wasMissing = this.#state === 'missing'
    this.#state = 'checked'
    if (provider !== this.#api.trace.getTracerProvider()) {
      const advice = "Use one copy: 'npm ls @opentelemetry/api' shows which packages bring one."
      this.#warn(`the api that was given is another copy than the one the SDK is registered with. ${advice}`)
    } else if (wasMissing) {
      this.#warn('a tracer provider was registered late; units opened before it have no spans. Register it first.')
    } else if (!this.#hasContexts()) {
      this.#warn('no context manager is registered, so no span is active in a unit. Register one with the SDK.')
    }
  }

  #hasContexts(): boolean {
    const { context, ROOT_CONTEXT } = this.#api
    const probe = ROOT_CONTEXT.setValue(probeKey, true)
    return context.with(probe, () => context.active() === probe)
  }

  /** Uses the process's logger: if the given api is another copy, its own logger writes nothing. */
  #warn(message: string): void {
    const logger = (registered('diag') as DiagLogger | undefined) ?? this.#api.diag
    logger.warn(`logical-context: ${message}`)
  }
}
