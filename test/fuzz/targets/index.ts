import type { FuzzTarget } from '../target.ts'
import { awsXRay } from './aws-x-ray.ts'
import { b3Multi } from './b3-multi.ts'
import { b3Single } from './b3-single.ts'
import { baggage } from './baggage.ts'
import { carrier } from './carrier.ts'
import { deadline } from './deadline.ts'
import { destinations } from './destinations.ts'
import { headers } from './headers.ts'
import { jaeger } from './jaeger.ts'
import { options } from './options.ts'
import { percent } from './percent.ts'
import { privateAddress } from './private-address.ts'
import { redirects } from './redirects.ts'
import { requestId } from './request-id.ts'
import { sentryTrace } from './sentry-trace.ts'
import { setters } from './setters.ts'
import { sqlComment } from './sql-comment.ts'
import { textMap } from './text-map.ts'
import { traceparent } from './traceparent.ts'
import { tracestate } from './tracestate.ts'
import { trust } from './trust.ts'

/** What reads the headers of a peer. */
export const headerTargets: readonly FuzzTarget[] = [
  traceparent,
  tracestate,
  baggage,
  b3Single,
  b3Multi,
  jaeger,
  awsXRay,
  sentryTrace,
  requestId,
  deadline,
  percent,
  headers,
]

/** What reads addresses and places, and what a program says. */
export const otherTargets: readonly FuzzTarget[] = [
  carrier,
  privateAddress,
  trust,
  destinations,
  redirects,
  setters,
  sqlComment,
  textMap,
  options,
]

export const targets: readonly FuzzTarget[] = [...headerTargets, ...otherTargets]
