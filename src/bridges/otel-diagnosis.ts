import type { DiagLogger } from '@opentelemetry/api'
import { type OpenTelemetryApi, registered } from './otel-api.ts'

/** Any key that nobody else has. */
const probeKey: symbol = Symbol('logical-context.probe')

/** Says once what is wrong with the set-up, when the first unit opens: an SDK may be registered until then. */
export class Diagnosis {
  readonly #api: OpenTelemetryApi
  #state: 'unchecked' | 'missing' | 'checked' = 'unchecked'
  #hasFailed = false

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

  /** A tracer or a processor has thrown; the work goes on. */
  failed(error: unknown): void {
    if (this.#hasFailed) return
    this.#hasFailed = true
    this.#warn(`a span could not be started or ended: ${String(error)}. The work goes on.`)
  }

  #checkRegistered(provider: unknown): void {
    const wasMissing = this.#state === 'missing'
    this.#state = 'checked'
    if (provider !== this.#api.trace.getTracerProvider()) {
      const advice = "Make them one: 'npm ls @opentelemetry/api' shows who brings them."
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

  /** By the logger of the process, also where the given api is another copy, whose own goes nowhere. */
  #warn(message: string): void {
    const logger = (registered('diag') as DiagLogger | undefined) ?? this.#api.diag
    logger.warn(`logical-context: ${message}`)
  }
}
