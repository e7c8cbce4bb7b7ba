import { aBoolean, type Checks, checkOptions } from '../options.ts'
import { copyText, trimOws } from '../variables/header-text.ts'
import { isHex, isId } from '../variables/hex.ts'
import { requestId } from '../variables/request-id.ts'
import { randomFlag, type Sampling, type TraceContext } from '../variables/trace-context.ts'
import { type Propagator, readField } from './propagator.ts'
import { type CallerRoot, type CallerTrace, traceFormat, undecidedCheck, type UndecidedOption } from './trace-format.ts'

const field = 'x-amzn-trace-id'
/** AWS's own headers have at most 300 characters, with `Self` and `Lineage`. */
const maxLength = 1024

/** Options of `awsXRay`. */
export interface AwsXRayOptions extends UndecidedOption {
  /**
   * Whether the text of `Root`, such as `1-67891233-abcdef012345678912345678`, is the request id of a request whose
   * trace is continued. Put `awsXRay` before `xRequestId` in the list then. Default: false.
   */
  requestId?: boolean
}

const checks: Checks = { requestId: aBoolean, undecided: undecidedCheck }
const samplingByText = new Map<string | undefined, Sampling>([
  ['1', 'accept'],
  ['0', 'deny'],
])
const sampledTexts: Record<Sampling, string> = {
  accept: ';Sampled=1',
  debug: ';Sampled=1',
  deny: ';Sampled=0',
  defer: '',
}

/**
 * The header `X-Amzn-Trace-Id` of AWS X-Ray: `Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8;Sampled=1`.
 * AWS's load balancers send `Root` without `Parent`: the request then is the first span of this trace, and if there is no
 * `Sampled`, the option `undecided` applies. `Self`, `Lineage` and other parts are neither kept nor written.
 *
 * @throws {TypeError} if an option is unknown or has the wrong type.
 * @see {@link https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader AWS X-Ray, "Tracing header"}
 */
export function awsXRay(options?: AwsXRayOptions): Propagator {
  const { undecided, requestId: isRequestId = false } = checkOptions('awsXRay', options, checks)
  const trace = traceFormat({
    fields: [field],
    undecided,
    canDefer: true,
    parse: (carrier, peer) => readField(carrier, field, peer.refuse, parseXRay),
    format: (context, sampling) => [[field, format(context, sampling)]],
  })
  if (!isRequestId) return trace

  return {
    ...trace,
    variables: [...(trace.variables ?? []), requestId],
    extract(context, carrier, peer, opener) {
      const traced = trace.extract(context, carrier, peer, opener)
      if (peer.trace !== 'continue' || traced.has(requestId)) return traced
      const found = readField(carrier, field, ignore, parseXRay)
      return found === undefined ? traced : traced.with(requestId, rootOf(found.traceId))
    },
  }
}

/** The caller's span, or the trace without one. Undefined for a malformed text. */
export function parseXRay(text: string): CallerTrace | CallerRoot | undefined {
  if (text.length > maxLength) return undefined
  const parts = new Map<string, string>()
  for (const part of text.split(';')) {
    const equals = part.indexOf('=')
    const key = trimOws(part, 0, Math.max(equals, 0))
    // Two roots or two parents contradict each other.
    if (parts.has(key) && key !== '') return undefined
    parts.set(key, trimOws(part, equals + 1))
  }
  const traceId = traceIdOf(parts.get('Root') ?? '')
  if (traceId === undefined) return undefined
  const sampling = samplingByText.get(parts.get('Sampled')) ?? 'defer'
  const parent = parts.get('Parent')
  // No service has decided then: as for a trace that begins here. The last 12 bytes of a root are random.
  if (parent === undefined) return { traceId, flags: randomFlag, sampling }
  if (parent.length !== 16 || !isId(parent, 0, 16)) return undefined
  return { traceId, spanId: copyText(parent), flags: 0, sampling }
}

/** `1-` + 8 digits + `-` + 24 digits. */
function traceIdOf(root: string): string | undefined {
  if (root.length !== 35 || !root.startsWith('1-') || root.charAt(10) !== '-') return undefined
  if (!isHex(root, 2, 8) || !isHex(root, 11, 24)) return undefined
  const traceId = copyText(`${root.slice(2, 10)}${root.slice(11)}`)
  return isId(traceId, 0, 32) ? traceId : undefined
}

function rootOf(traceId: string): string {
  return `1-${traceId.slice(0, 8)}-${traceId.slice(8)}`
}

function format({ traceId, spanId }: TraceContext, sampling: Sampling): string {
  return `Root=${rootOf(traceId)};Parent=${spanId}${sampledTexts[sampling]}`
}

function ignore(): void {}
