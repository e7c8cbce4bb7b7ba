import { LogicalContext } from '../context/logical-context.ts'
import { checkOptions } from '../options.ts'
import { incomingCarrier } from '../propagators/carrier.ts'
import { compilePropagators } from '../propagators/composite.ts'
import type { Propagator } from '../propagators/propagator.ts'
import { requestTimeout } from '../propagators/request-timeout.ts'
import { w3cBaggage } from '../propagators/w3c-baggage.ts'
import { w3cTraceContext } from '../propagators/w3c-trace-context.ts'
import { xRequestId } from '../propagators/x-request-id.ts'
import { LateUseWatch } from '../tasks/late-use.ts'
import type { Policy } from '../tasks/policy.ts'
import { RequestScope } from '../tasks/request-scope.ts'
import type { Task } from '../tasks/task.ts'
import { TaskGroup } from '../tasks/task-group.ts'
import { limitChecks, limitsOf, serverLimits } from '../tasks/task-limits.ts'
import type { UnitSettings } from '../tasks/unit.ts'
import { deadline } from '../variables/deadline.ts'
import { newUuid } from '../variables/ids.ts'
import { requestId } from '../variables/request-id.ts'
import { inboundChecks, type InboundMessage, type InboundOptions } from './inbound-options.ts'
import { PeerWatch, type Refusal, trustRule } from './trust.ts'

export type { InboundMessage, InboundOptions } from './inbound-options.ts'
export type { Refusal, RefusalCounters, Trust, TrustedAddresses } from './trust.ts'

/**
 * The inbound side, the same for every server: it extracts what the peer may set, and opens a scope with it. An adapter
 * calls `open` once per request, `scope.run` for the work, and `scope.close` at its end.
 */
export class Inbound {
  /** The group that owns all tasks spawned in requests. */
  readonly group: TaskGroup
  /** Counts what was refused from peers. */
  readonly peers: PeerWatch
  /** Counts the reads and writes after the end of a request. */
  readonly lateUse: LateUseWatch
  readonly #propagator: Propagator
  readonly #settings: UnitSettings

  /**
   * `owner` is the function that the user called, for error messages.
   *
   * @throws {TypeError} for an option that is unknown or of the wrong type.
   */
  constructor(options?: InboundOptions, owner: string = 'Inbound') {
    const {
      policy,
      propagators = [w3cTraceContext(), w3cBaggage(), xRequestId(), requestTimeout()],
      trust,
      limits,
      onError = printFailure,
      onRefusal = printRefusal,
      lateWrites,
      onLateUse,
    } = checkOptions(owner, options, inboundChecks)
    const taskLimits = { ...serverLimits, ...checkOptions(`${owner}: option 'limits'`, limits, limitChecks) }
    limitsOf(`${owner}: option 'limits'`, taskLimits)
    this.#propagator = compilePropagators(`${owner}: option 'propagators'`, propagators)
    this.peers = new PeerWatch(trustRule(trust, `${owner}: option 'trust'`), onRefusal)
    this.group = new TaskGroup({ name: 'background', ...taskLimits, onError })
    this.lateUse = new LateUseWatch({ lateWrites, onLateUse })
    this.#settings = { group: this.group, policy, lateUse: this.lateUse }
  }

  /** Opens a scope with what the message's peer may set. It always has a request id. */
  open(name: string, message: InboundMessage): RequestScope {
    const peer = this.peers.judge(message)
    const extracted = this.#propagator.extract(LogicalContext.empty, incomingCarrier(message.headers), peer)
    const context = extracted.has(requestId) ? extracted : extracted.with(requestId, newUuid())
    const scope = new RequestScope(name, context, this.#settings)
    const limit = context.get(deadline)
    if (limit !== undefined) scope.expireAt(limit)
    return scope
  }

  /** The settings for a route with a policy of its own. */
  settingsFor(policy: Policy | undefined): UnitSettings {
    return policy === undefined ? this.#settings : { ...this.#settings, policy }
  }
}

function printFailure(error: unknown, task: Task): void {
  console.error(`logical-context: the task '${task.name}' failed`, error)
}

function printRefusal(refusal: Refusal): void {
  console.error(`logical-context: ${refusal.field} was refused`, refusal)
}
