import { isPromise, ReportedKeys, reportOnce } from '../callbacks.ts'
import { bridge, isTracing } from '../context/bridge.ts'
import { type AnyContextVar, ContextVar } from '../context/context-var.ts'
import type { LogicalContext } from '../context/logical-context.ts'
import { checkOptions } from '../options.ts'
import { type Carrier, carrierOf } from '../propagators/carrier.ts'
import { compilePropagators } from '../propagators/composite.ts'
import { requestTimeout } from '../propagators/request-timeout.ts'
import { isFieldValue, isToken } from '../variables/header-text.ts'
import { baggage } from '../variables/baggage.ts'
import { deadline } from '../variables/deadline.ts'
import { requestId } from '../variables/request-id.ts'
import { type TraceContext, traceContext, traceOf } from '../variables/trace-context.ts'
import type { Refuse, RefusalReason, Destination, Propagator } from '../propagators/propagator.ts'
import { xRequestId } from '../propagators/x-request-id.ts'
import { w3cBaggage } from '../propagators/w3c-baggage.ts'
import { w3cTraceContext } from '../propagators/w3c-trace-context.ts'
import { compileDestinations, type HostMatcher, type Hosts, noHost, type Target } from './destinations.ts'
import type { WrittenField, WrittenFields } from './origin-guard.ts'
import { outboundChecks, type OutboundOptions, type OutboundRefusal } from './outbound-options.ts'

export type { DestinationRule, Destinations, Hosts, Target } from './destinations.ts'
export type { OutboundOptions, OutboundRefusal } from './outbound-options.ts'

/**
 * The trunk of all clients: it decides by the destination what a call may send, and writes that into its headers.
 * A client calls `inject` when the call is made, in the caller's context, and again for each redirect.
 */
export class Outbound {
  /** Counts the fields that were not sent. */
  readonly counters: Record<RefusalReason, number> = { refused: 0, malformed: 0, duplicate: 0, truncated: 0 }
  /** Whether some hosts receive more than others. A redirect to another host must not keep the headers then. */
  readonly dependsOnHost: boolean
  /** The headers that the propagators write, in lower case. */
  readonly fields: readonly string[]
  readonly #owner: string
  readonly #propagator: Propagator
  readonly #trace: HostMatcher
  readonly #values: HostMatcher
  readonly #spanPerCall: boolean
  readonly #onRefusal: ((refusal: OutboundRefusal) => void) | undefined
  /** What the program declared to travel, if it set no list of hosts; empty after the warning. */
  #unlisted: readonly AnyContextVar[]

  /**
   * @param owner the function that error messages name.
   * @throws {TypeError} if an option is unknown or has the wrong type, or a propagator or host is invalid.
   */
  constructor(owner: string, options?: OutboundOptions) {
    const {
      propagators = [w3cTraceContext(), w3cBaggage(), xRequestId(), requestTimeout()],
      trace = true,
      values,
      spanPerCall = false,
      onRefusal,
    }: OutboundOptions = checkOptions(owner, options, outboundChecks)
    this.#owner = owner
    this.#propagator = compilePropagators(`${owner}: option 'propagators'`, propagators)
    this.fields = this.#propagator.fields
    this.#trace = matcherOf(owner, trace)
    this.#values = compileDestinations(owner, values ?? [])
    this.#unlisted = values === undefined ? variablesOfProgram(this.#propagator) : []
    this.dependsOnHost = typeof trace !== 'boolean' || (values !== undefined && values.length > 0)
    this.#spanPerCall = spanPerCall
    this.#onRefusal = onRefusal
  }

  /**
   * Writes the fields that `target` may receive and that are not set yet. Returns whether these contain something that
   * other hosts may not receive. Never throws. An unknown target receives what every host receives.
   */
  inject(context: LogicalContext, carrier: Carrier, target: Target | null): boolean {
    return this.write(context, carrier, target).confidential.length > 0
  }

  /** @internal As `inject`, and returns the fields. */
  write(caller: LogicalContext, carrier: Carrier, target: Target | null): WrittenFields {
    const refuse: Refuse = (reason, field) => this.#report({ reason, field, host: target?.hostname ?? '' })
    if (this.#unlisted.length > 0) this.#warnOfUnsent(caller, target)
    const isTraced = isTracing()
    const toAll: Destination = { trace: isTraced && this.#trace === everyHost, values: false, refuse }
    const destination: Destination =
      target === null
        ? toAll
        : { trace: isTraced && this.#trace(target) === true, values: this.#values(target), refuse }
    const hasSpan = this.#spanPerCall && destination.trace
    const context = hasSpan ? inSpanOfCall(caller, target?.hostname ?? '') : caller
    const all = this.#write(context, carrier, destination)
    const isOpen = destination.values === false && destination.trace === toAll.trace
    if (isOpen || all.length === 0) return { all, confidential: [] }
    const open = new Map(this.#write(context, carrierOf(new Map<string, string>()), { ...toAll, refuse() {} }))
    return { all, confidential: all.filter(([name, value]) => open.get(name) !== value) }
  }

  /** @internal Names a client's function after its factory, and adds this object as its property `outbound`. */
  asClient<Client extends (...args: never[]) => unknown, Members extends object>(
    client: Client,
    members?: Members,
  ): Client & Members & { readonly outbound: Outbound } {
    Object.defineProperty(client, 'name', { value: this.#owner, configurable: true })
    return Object.assign(client, members as Members, { outbound: this })
  }

  #write(context: LogicalContext, carrier: Carrier, destination: Destination): readonly WrittenField[] {
    const guarded = new GuardedCarrier(carrier, destination.refuse)
    this.#propagator.inject(context, guarded, destination)
    return guarded.written
  }

  /** The program set a value that it declared to travel, and made a call without it. */
  #warnOfUnsent(context: LogicalContext, target: Target | null): void {
    const names = this.#unlisted.filter((variable) => context.has(variable)).map(({ name }) => `'${name}'`)
    if (names.length === 0) return
    this.#unlisted = []
    if (!warned.add(`${this.#owner} ${names.join()}`)) return
    process.emitWarning(
      `${this.#owner}: a call to ${target?.hostname ?? 'an unknown host'} did not send ${names.join(', ')}, because no ` +
        "host receives values. List the hosts in the option 'values', or set it to [] to send values to none.",
    )
  }

  #report(refusal: OutboundRefusal): void {
    this.counters[refusal.reason]++
    if (this.#onRefusal === undefined) return
    try {
      if (isPromise(this.#onRefusal(refusal))) throw new TypeError('onRefusal: expected not to return a promise.')
    } catch (error) {
      reportOnce(this, 'onRefusal', error)
    }
  }
}

/** With a tracer, the span is one that it records, so that the callee is not separate from the trace. */
function inSpanOfCall(context: LogicalContext, host: string): LogicalContext {
  const trace = traceOf(context)
  if (trace === undefined) return context
  const own = bridge.current?.called?.(trace, host) as TraceContext | undefined
  return context.with(traceContext, own ?? trace.child())
}

/** Sets valid headers only, and never one that is already set, whatever a propagator does. */
class GuardedCarrier implements Carrier {
  readonly written: WrittenField[] = []
  readonly #carrier: Carrier
  readonly #refuse: Refuse

  constructor(carrier: Carrier, refuse: Refuse) {
    this.#carrier = carrier
    this.#refuse = refuse
  }

  get(name: string): string | undefined {
    return this.#carrier.get(name)
  }

  has(name: string): boolean {
    return this.#carrier.has(name)
  }

  set(name: string, value: string): void {
    if (!isToken(name) || !isFieldValue(value)) {
      this.#refuse('malformed', name)
      return
    }
    if (this.#carrier.has(name)) return
    try {
      this.#carrier.set(name, value)
    } catch {
      // The client refuses headers, for example because it sent them already. The propagator did not fail.
      this.#refuse('malformed', name)
      return
    }
    this.written.push([name.toLowerCase(), value])
  }
}

const everyHost: HostMatcher = () => true

const ofThePackage: readonly unknown[] = [traceContext, baggage, requestId, deadline]
/** By client and variables: a program can create a client for each call. */
const warned = new ReportedKeys()

function variablesOfProgram({ variables = [] }: Propagator): AnyContextVar[] {
  return variables.filter((variable) => variable instanceof ContextVar && !ofThePackage.includes(variable))
}

function matcherOf(owner: string, trace: boolean | Hosts): HostMatcher {
  if (typeof trace !== 'boolean') return compileDestinations(owner, trace, 'write trace: true.')
  return trace ? everyHost : noHost
}
