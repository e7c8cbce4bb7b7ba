// For `node --import`: prints the packages of OpenTelemetry that a process and its child processes load.
import { registerHooks } from 'node:module'

const told = new Set<string>()
registerHooks({
  resolve(specifier, context, next) {
    const name = /@opentelemetry\/[\w-]+/.exec(specifier)?.[0]
    if (name !== undefined && !told.has(name)) console.error(`loads ${name}`)
    told.add(name ?? '')
    return next(specifier, context)
  },
})
