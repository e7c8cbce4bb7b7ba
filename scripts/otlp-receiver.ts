// An OTLP/HTTP receiver on loopback that keeps what it receives. JSON only, which is what the exporters of Node send.
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'

type Attribute = string | number | boolean | Attribute[]
export type Attributes = Record<string, Attribute>

interface Link {
  readonly traceId: string
  readonly spanId: string
}

/** A span as a collector sees it. */
export interface ReceivedSpan extends Link {
  readonly service: string
  readonly scope: string
  readonly name: string
  /** `internal`, `server`, `client`, `producer`, `consumer`. */
  readonly kind: string
  readonly parentSpanId: string | undefined
  readonly startMs: number
  readonly endMs: number
  readonly attributes: Attributes
  readonly events: readonly { name: string; attributes: Attributes }[]
  readonly links: readonly Link[]
  readonly status: { code: 'unset' | 'ok' | 'error'; message?: string }
}

export interface OtlpReceiver {
  /** `http://127.0.0.1:port`, for `--otlp` and for OTEL_EXPORTER_OTLP_ENDPOINT. */
  readonly url: string
  readonly spans: ReceivedSpan[]
  /** The last data points, by the name of the metric. */
  readonly metrics: Map<string, { value: number; attributes: Attributes }[]>
  close(): void
}

/** The used part of OTLP 1.x as JSON. */
type Value = { stringValue?: string; intValue?: number | string; doubleValue?: number; boolValue?: boolean } & {
  arrayValue?: { values?: Value[] }
}
type KeyValues = { key: string; value: Value }[]
interface Span extends Link {
  name: string
  kind: number
  parentSpanId?: string
  startTimeUnixNano: string
  endTimeUnixNano: string
  attributes?: KeyValues
  events?: { name: string; attributes?: KeyValues }[]
  links?: Link[]
  status?: { code?: number; message?: string }
}
type Point = { asInt?: number | string; asDouble?: number; count?: number | string; attributes?: KeyValues }
type Metric = { name: string } & { [kind in 'sum' | 'gauge' | 'histogram']?: { dataPoints: Point[] } }
interface Message {
  resourceSpans?: { resource: { attributes: KeyValues }; scopeSpans: { scope: { name: string }; spans: Span[] }[] }[]
  resourceMetrics?: { scopeMetrics: { metrics: Metric[] }[] }[]
}

const kinds = ['unspecified', 'internal', 'server', 'client', 'producer', 'consumer']
const statuses = ['unset', 'ok', 'error'] as const

export async function startOtlpReceiver(): Promise<OtlpReceiver> {
  const spans: ReceivedSpan[] = []
  const metrics: OtlpReceiver['metrics'] = new Map()
  const receive = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const message = (await json(request)) as Message
    spans.push(...spansOf(message))
    for (const [name, points] of metricsOf(message)) metrics.set(name, points)
    response.setHeader('content-type', 'application/json').end('{}')
  }
  const server = createServer((request, response) => {
    // A program that sends something else gets an error.
    receive(request, response).catch((error: unknown) => response.writeHead(400).end(String(error)))
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  const close = () => {
    server.close()
    server.closeAllConnections()
  }
  return { url: `http://127.0.0.1:${port}`, spans, metrics, close }
}

function spansOf({ resourceSpans = [] }: Message): ReceivedSpan[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }) => {
    const service = String(attributesOf(resource.attributes)['service.name'])
    return scopeSpans.flatMap(({ scope, spans }) => spans.map((span) => spanOf(service, scope.name, span)))
  })
}

function spanOf(service: string, scope: string, span: Span): ReceivedSpan {
  const { traceId, spanId, parentSpanId, name, kind, status = {}, links = [], events = [] } = span
  const code = statuses[status.code ?? 0] ?? 'unset'
  return {
    ...{ service, scope, name, traceId, spanId },
    kind: kinds[kind] ?? String(kind),
    parentSpanId: parentSpanId === '' ? undefined : parentSpanId,
    startMs: Number(BigInt(span.startTimeUnixNano) / 1000n) / 1000,
    endMs: Number(BigInt(span.endTimeUnixNano) / 1000n) / 1000,
    attributes: attributesOf(span.attributes),
    events: events.map((event) => ({ name: event.name, attributes: attributesOf(event.attributes) })),
    links: links.map((link) => ({ traceId: link.traceId, spanId: link.spanId })),
    status: status.message ? { code, message: status.message } : { code },
  }
}

function metricsOf({
  resourceMetrics = [],
}: Message): [name: string, points: { value: number; attributes: Attributes }[]][] {
  const metrics = resourceMetrics.flatMap(({ scopeMetrics }) => scopeMetrics.flatMap((scope) => scope.metrics))
  return metrics.map(({ name, sum, gauge, histogram }) => {
    const points = (sum ?? gauge ?? histogram)?.dataPoints ?? []
    return [
      name,
      points.map(({ asInt, asDouble, count, attributes }) => ({
        value: Number(asInt ?? asDouble ?? count),
        attributes: attributesOf(attributes),
      })),
    ]
  })
}

function attributesOf(pairs: KeyValues = []): Attributes {
  return Object.fromEntries(pairs.map(({ key, value }) => [key, valueOf(value)]))
}

function valueOf({ stringValue, intValue, doubleValue, boolValue, arrayValue }: Value): Attribute {
  if (arrayValue !== undefined) return (arrayValue.values ?? []).map(valueOf)
  return stringValue ?? (intValue === undefined ? undefined : Number(intValue)) ?? doubleValue ?? boolValue ?? ''
}
