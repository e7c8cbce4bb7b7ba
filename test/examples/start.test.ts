import { fork } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { Client } from 'pg'
import { describe, expect, it, onTestFinished } from 'vitest'
import { postgresProgram, startPostgres } from '../servers/postgres.ts'
import { needs } from '../servers/server.ts'
import { isAlive, type Program, startProgram } from './program.ts'

const { name, skip } = needs(postgresProgram, 'postgresql')

// Windows has no signals.
describe.skipIf(process.platform === 'win32')('npm start', { timeout: 120_000 }, () => {
  it('answers the requests that it prints, and closes its services on SIGTERM', async () => {
    const shop = startShop()
    const [, url = ''] = await shop.saw(/^curl (\S+)/m)
    const pids = await pidsOf(shop)

    const answer = await order(url)
    shop.kill('SIGTERM')

    expect(answer).toEqual({ cents: 900, for: 'acme' })
    expect(await shop.ended).toBe(0)
    expect(shop.stdout.match(/"finished":\d+,"unfinished":0/g)).toHaveLength(3)
    expect(pids.filter(isAlive)).toEqual([])
  })

  it('ends its services when it is killed', async () => {
    const shop = startShop()
    const pids = await pidsOf(shop)

    shop.kill('SIGKILL')

    expect(await shop.ended).toBe('SIGKILL')
    await expect.poll(() => pids.filter(isAlive), { timeout: 60_000 }).toEqual([])
  })

  it('ends a process that still waits for the database when the shop ends', async () => {
    const asked = Promise.withResolvers<void>()
    const silent = createServer(() => asked.resolve())
    await once(silent.listen(0, '127.0.0.1'), 'listening')
    onTestFinished(() => silent.close().closeAllConnections())
    const worker = fork(fileURLToPath(new URL('../../examples/server/worker.ts', import.meta.url)), {
      execArgv: ['--conditions=logical-context-source'],
      env: { ...process.env, DATABASE_URL: `http://127.0.0.1:${(silent.address() as AddressInfo).port}` },
    })
    onTestFinished(() => void worker.kill('SIGKILL'))
    const ended = once(worker, 'exit')
    await asked.promise

    worker.disconnect()

    expect(await ended).toEqual([1, null])
  })

  it.skipIf(skip)(`keeps its jobs in the PostgreSQL of DATABASE_URL${name}`, async () => {
    const server = await startPostgres()
    onTestFinished(() => server.stop())
    const shop = startShop({ DATABASE_URL: server.url })
    const [, url = ''] = await shop.saw(/^curl (\S+)/m)

    await order(url)
    await shop.saw(/"order":"1","msg":"job ends"/)
    shop.kill('SIGTERM')

    expect(await shop.ended).toBe(0)
    expect(await jobsIn(server.url)).toEqual([{ name: 'send-receipt', state: 'completed' }])
  })
})

async function order(url: string): Promise<unknown> {
  const headers = { 'content-type': 'application/json', 'x-tenant': 'acme', 'x-user': 'ada' }
  return (await fetch(url, { method: 'POST', headers, body: '{"id":"1","item":"tea","quantity":2}' })).json()
}

async function jobsIn(url: string): Promise<unknown[]> {
  const client = new Client(url)
  await client.connect()
  const { rows } = await client.query('SELECT name, state FROM pgboss.job')
  await client.end()
  return rows
}

function startShop(env: Readonly<Record<string, string>> = {}): Program {
  const shop = startProgram('examples/server/start.ts', { env })
  onTestFinished(() => shop.kill('SIGKILL'))
  return shop
}

/** Resolves with the processes of the three services after each printed its address. */
async function pidsOf(shop: Program): Promise<number[]> {
  await shop.saw(/(?:Server listening[^]*){3}/)
  return Array.from(new Set(Array.from(shop.stdout.matchAll(/"pid":(\d+)/g), ([, pid]) => Number(pid))))
}
