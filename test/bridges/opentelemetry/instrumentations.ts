import { createRequire } from 'node:module'
// Before the instrumentations, which do not patch a module that loads while they are disabled.
import 'fastify'
import * as api from '@opentelemetry/api'
import type { Instrumentation } from '@opentelemetry/instrumentation'
import { HttpInstrumentation, type HttpInstrumentationConfig } from '@opentelemetry/instrumentation-http'
import { UndiciInstrumentation } from '@opentelemetry/instrumentation-undici'
import { onTestFinished } from 'vitest'

const require = createRequire(import.meta.url)
// One of each for all tests: a second one finds what the first has patched.
const http = new HttpInstrumentation({ enabled: false })
const undici = new UndiciInstrumentation({ enabled: false })

/** OpenTelemetry's own instrumentation of `node:http`, for one test; after the SDK was set up. */
export function instrumentHttp(config: HttpInstrumentationConfig = {}): void {
  enable(http, config)
  // It patches what is required from now on.
  for (const name of ['node:http', 'node:https', 'http', 'https']) require(name)
}

/** OpenTelemetry's own instrumentation of undici and the built-in fetch, for one test; after the SDK was set up. */
export function instrumentUndici(): void {
  enable(undici)
}

function enable(instrumentation: Instrumentation, config = {}): void {
  instrumentation.setTracerProvider(api.trace.getTracerProvider())
  instrumentation.setConfig({ enabled: true, ...config })
  instrumentation.enable()
  onTestFinished(() => instrumentation.disable())
}
