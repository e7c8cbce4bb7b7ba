import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type Program, startProgram } from '../examples/program.ts'
import { installFixture } from '../fixtures/install.ts'

/** `npm run nextjs` runs the tests on a build, which takes half a minute or more. */
const built = process.env['NEXTJS_BUILD'] !== undefined

const guide = readFileSync('docs/guides/serverless.md', 'utf8')
const block = /^## Next\.js[^]*?^```ts\n([^]*?)^const post =/m.exec(guide)?.[1] ?? ''

/** The handler of the guide as a file of Next.js, with what the other routes of the app use. */
function routeOfGuide(): string {
  const route = block.replace(/^\/\/ In Next\.js: (import .*)\n.*\n.*$/m, '$1')
  const more = 'export const GET = () => Response.json(mails)\nexport { user, withContext }\n'
  return stripTypeScriptTypes(route) + more
}

let server: Program
let address: string

const get = (path: string, user: string, init: RequestInit = {}) =>
  fetch(`${address}${path}`, { headers: { 'x-user': user }, ...init })

beforeAll(async () => {
  const folder = installFixture('nextjs')
  mkdirSync(join(folder, 'app/orders'), { recursive: true })
  writeFileSync(join(folder, 'app/orders/route.js'), routeOfGuide())
  const next = join(folder, 'node_modules/next/dist/bin/next')
  const env = { NEXT_TELEMETRY_DISABLED: '1', NODE_ENV: '' }
  if (built) {
    const build = startProgram(next, { args: ['build', folder], env })
    if ((await build.ended) !== 0) throw new Error(`'next build' has failed: ${build.stdout}${build.stderr}`)
  }
  server = startProgram(next, { args: [built ? 'start' : 'dev', folder, '-H', '127.0.0.1', '-p', '0'], env })
  address = (await server.saw(/http:\/\/127\.0\.0\.1:\d+/))[0]
}, 180_000)

afterAll(async () => {
  server.kill('SIGTERM')
  await server.ended
})

describe('the route handler of the guide in Next.js', () => {
  it('keeps each user in its handler and, after the response, in its task', async () => {
    const users = ['ann', 'bob', 'cleo']

    const replies = await Promise.all(users.map((user) => get('/orders', user, { method: 'POST' })))

    expect(await Promise.all(replies.map((reply) => reply.json()))).toEqual(users.map((user) => ({ user })))
    const mails = async () => ((await (await get('/orders', 'reader')).json()) as string[]).toSorted()
    await vi.waitFor(async () => expect(await mails()).toEqual(users.map((user) => `to ${user}`)), 20_000)
  })

  it('keeps the users of two requests apart that are in progress at the same time', async () => {
    const replies = await Promise.all([get('/together', 'ann'), get('/together', 'bob')])

    expect(await Promise.all(replies.map((reply) => reply.json()))).toEqual([{ user: 'ann' }, { user: 'bob' }])
  })

  it('logs a failed task with its request id, and starts the tasks of a handler that fails', async () => {
    const reply = await get('/failing', 'ann')

    const [, id] = await server.saw(/^failing (.+)$/m)
    await server.saw(/^task of ann$/m)
    expect(reply.status).toBe(500)
    expect(server.stderr).toMatch(new RegExp(`task 'reindex' failed[^]*request_id: '${id}'`))
  })

  it('reads the values in a stream whose functions are bound, and aborts the signal after a disconnect', async () => {
    const leave = new AbortController()
    const reply = await get('/endless', 'ann', { signal: leave.signal })

    const { value } = (await reply.body?.getReader().read()) ?? {}
    leave.abort()

    expect(new TextDecoder().decode(value)).toMatch(/^(?:ann\n)+$/)
    await server.saw(/^aborted$/m)
    await server.saw(/^left by ann$/m)
  })

  it('reports the line of the bundle that reads a value after the end', async () => {
    const read = async (user: string) => ((await (await get('/late', user)).json()) as { user?: string }).user

    expect(await read('ann')).toBe('ann')
    await vi.waitFor(async () => expect(await read('bob')).toBeUndefined(), 20_000)

    await vi.waitFor(() => expect(server.stderr).toMatch(/late read of 'user'.* at (?!findCallSite)/), 20_000)
  })

  it.runIf(built)('ends after SIGTERM when the tasks have ended', async () => {
    await get('/slow', 'ann')
    await server.saw(/^slow task begins$/m)

    server.kill('SIGTERM')

    await server.ended
    expect(server.stdout).toMatch(/^slow task of ann$/m)
  })
})
