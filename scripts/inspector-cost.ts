import Fastify from 'fastify'
import { ContextVar, spawn } from 'logical-context'
import { inspectorHandler } from 'logical-context/inspector'
import logicalContext from 'logical-context/middleware/fastify'

/**
 * Measures the requests of an app in a second, without and with the inspector, in turns of one run. The client is in the
 * same process, so the figures are those of both.
 */
const tenant = new ContextVar<string>('tenant', { onSpawn: 'keep' })
const app = Fastify()
await app.register(logicalContext)
app.get('/', async () => {
  tenant.set('acme')
  spawn(async () => {}, { name: 'task' })
  return 'ok'
})
const url = await app.listen({ host: '127.0.0.1', port: 0 })

const turnMs = 1500
const clients = 16

async function rate(): Promise<number> {
  const end = performance.now() + turnMs
  let count = 0
  const client = async () => {
    while (performance.now() < end) {
      await (await fetch(url)).text()
      count++
    }
  }
  await Promise.all(Array.from({ length: clients }, client))
  return (count * 1000) / turnMs
}

const rates: { off: number[]; on: number[] } = { off: [], on: [] }
await rate()
for (let turn = 0; turn < 4; turn++) {
  rates.off.push(await rate())
  using _ = inspectorHandler({ fields: { tenant } })
  rates.on.push(await rate())
}
await app.close()

const median = (values: readonly number[]) => values.toSorted((left, right) => left - right)[values.length >> 1] ?? 0
const [off, on] = [median(rates.off), median(rates.on)]
console.log(
  `requests in a second: ${off.toFixed(0)} without, ${on.toFixed(0)} with the inspector: ${(on / off).toFixed(2)}`,
)
