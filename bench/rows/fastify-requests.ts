import assert from 'node:assert/strict'
import { MemoryConnection } from '../harness/memory-connection.ts'
import { type MicroRow, ofFloor, ours, type Role, type ServerSide, type Side, type Target } from '../harness/row.ts'
import * as ways from './fastify-contexts.ts'
import { fastifyFull, tracedHeaders } from './fastify-full.ts'
import { helloServer } from './hello-server.ts'

/** Half of a request's CPU time is the kernel's, and its noise hides the cost of a plugin. */
const withoutKernel = 'One request after the other, over a keep-alive connection in memory.'
const windows = 200

export const requestHello: MicroRow = {
  kind: 'micro',
  windows,
  name: 'request-hello',
  title: 'Fastify without the kernel: scope and request id alone',
  about: `A hello world that reads the request id or the span from its context. ${withoutKernel}`,
  sides: [
    side('bare', 'floor', () => helloServer(ways.none)),
    side(ours, 'ours', () => helloServer(ways.logicalContextAlone)),
    side('one-line als.run in onRequest', 'reference', () => helloServer(ways.oneLineOfAls)),
    side('our unit without the plugin', 'reference', () => helloServer(ways.unitByHand)),
    side('@fastify/request-context', 'peer', () => helloServer(ways.fastifyRequestContext)),
    side('cls-rtracer', 'peer', () => helloServer(ways.clsRtracer)),
    side('@fastify/otel', 'peer', () => helloServer(ways.fastifyOtel)),
  ],
  targets: [
    adds('at most what @fastify/request-context adds', '@fastify/request-context', 1),
    adds('at most what cls-rtracer adds', 'cls-rtracer', 1),
    adds('at most 1.5 times what a one-line als.run adds', 'one-line als.run in onRequest', 1.5),
  ],
}

export const requestImport: MicroRow = {
  kind: 'micro',
  windows,
  name: 'request-import',
  title: 'Fastify without the kernel: the package is imported and not used',
  about: `A hello world without a context. The import of many files can slow a whole process. ${withoutKernel}`,
  sides: [side('bare', 'floor', () => helloServer(ways.none)), side(ours, 'ours', () => helloServer(ways.importOnly))],
  targets: [ofFloor(1.02)],
}

/** Each side has one promise more than the side before it. */
export const requestParts: MicroRow = {
  kind: 'micro',
  windows,
  name: 'request-parts',
  title: 'Fastify without the kernel: what each part costs',
  about:
    'Each side adds one part to the side before it, and each request brings the headers of the row above. The unit ' +
    'owns tasks, can be cancelled, and drops its values at its end. The plugin runs all hooks, callbacks and events in ' +
    `the unit; its end waits for the handler and the reply, and a close waits for both. ${withoutKernel}`,
  sides: [
    side('bare', 'floor', () => helloServer(ways.none), tracedHeaders),
    side('one-line als.run in onRequest', 'reference', () => helloServer(ways.oneLineOfAls), tracedHeaders),
    side('a unit with the id of the caller', 'reference', () => helloServer(ways.unitByHand), tracedHeaders),
    side('the plugin with the id', 'reference', () => part([]), tracedHeaders),
    side('the plugin with id and trace', 'reference', () => part(['trace']), tracedHeaders),
    side('the plugin with id, trace and baggage', 'reference', () => part(['trace', 'baggage']), tracedHeaders),
    side(`${ours}, also with the id in the reply`, 'ours', () => part(['trace', 'baggage', 'reply']), tracedHeaders),
  ],
  targets: [],
}

export const requestFull: MicroRow = {
  kind: 'micro',
  windows,
  name: 'request-full',
  title: 'Fastify without the kernel: extraction, baggage, ids and log fields',
  about: `${fastifyFull.about} ${withoutKernel}`,
  sides: fastifyFull.sides.map(({ name, role, serve }) => side(name, role, () => serve(''), fastifyFull.headers)),
  targets: [
    adds(
      'at most a third of what @fastify/otel and pino instrumentation add',
      '@fastify/otel and pino instrumentation',
      1 / 3,
    ),
    adds('at most what als.run and mixin add', 'als.run and mixin', 1),
  ],
}

async function part(parts: readonly ('trace' | 'baggage' | 'reply')[]) {
  const { ContextVar } = await import('logical-context')
  const { w3cBaggage, w3cTraceContext, xRequestId } = await import('logical-context/propagators')
  const tenant = new ContextVar<string>('tenant')
  const propagators = [
    ...(parts.includes('trace') ? [w3cTraceContext()] : []),
    ...(parts.includes('baggage') ? [w3cBaggage({ members: { tenant } })] : []),
    xRequestId(),
  ]
  const way = ways.logicalContext({
    propagators,
    trust: 'loopback',
    replyIdHeader: parts.includes('reply') ? 'x-request-id' : false,
  })
  return helloServer(way, {}, () => () => !parts.includes('baggage') || tenant.get() === 'acme')
}

function adds(words: string, against: string, atMost: number): Target {
  return { words: `adds ${words}`, figure: 'ns', against, above: 'bare', atMost }
}

function side(
  name: string,
  role: Role,
  serve: () => ReturnType<ServerSide['serve']>,
  headers: Readonly<Record<string, string>> = {},
): Side {
  return {
    name,
    role,
    async setup() {
      const app = await serve()
      await app.ready()
      const connection = new MemoryConnection(app.server, headers)
      return {
        op: () => connection.ask(),
        awaited: true,
        async check() {
          assert.match(await connection.ask(), /^HTTP\/1\.1 200 [^]*\r\n\r\n\{"hello":"world"\}$/)
        },
      }
    },
  }
}
