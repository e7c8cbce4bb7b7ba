import { describe, expect, it, onTestFinished } from 'vitest'
import { isAlive, type Program, startProgram } from './program.ts'

// Windows has no signals.
describe.skipIf(process.platform === 'win32')('npm start', { timeout: 120_000 }, () => {
  it('answers the requests that it prints, and closes its services on SIGTERM', async () => {
    const shop = startShop()
    const [, url = ''] = await shop.saw(/^curl (\S+)/m)
    const pids = await pidsOf(shop)

    const answer = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-tenant': 'acme', 'x-user': 'ada' },
      body: '{"id":"1","item":"tea","quantity":2}',
    })
    const { cents } = (await answer.json()) as { cents: number }
    shop.kill('SIGTERM')

    expect(cents).toBe(900)
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
})

function startShop(): Program {
  const shop = startProgram('examples/server/start.ts')
  onTestFinished(() => shop.kill('SIGKILL'))
  return shop
}

/** Resolves with the processes of the three services after each printed its address. */
async function pidsOf(shop: Program): Promise<number[]> {
  await shop.saw(/(?:Server listening[^]*){3}/)
  return Array.from(new Set(Array.from(shop.stdout.matchAll(/"pid":(\d+)/g), ([, pid]) => Number(pid))))
}
