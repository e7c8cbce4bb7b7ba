import { deserialize, serialize } from 'node:v8'
import { contextBoss } from 'logical-context/messages/pg-boss'
import { PgBoss } from 'pg-boss'
import { propagators } from './variables.ts'

/** The queue of receipts, in PostgreSQL or in the shop's own database. A killed worker is noticed within 2 seconds. */
export async function openJobs() {
  const { DATABASE_URL: url = '' } = process.env
  const executeSql = async (...query: unknown[]) => {
    const response = await fetch(url, { method: 'POST', body: serialize(query) })
    const result = deserialize(await response.bytes()) as string | { rows: unknown[] }
    if (typeof result === 'string') throw new Error(result)
    return result
  }
  const engine = url.startsWith('http') ? { backend: 'pglite' as const, db: { executeSql } } : { connectionString: url }
  const options = { schedule: false, superviseIntervalSeconds: 1, monitorIntervalSeconds: 1 }
  const boss = new PgBoss({ ...engine, ...options, openTelemetry: { enabled: false } })
  const jobs = contextBoss(await boss.on('error', console.error).start(), { propagators })
  await boss.createQueue('send-receipt', { expireInSeconds: 1, retryLimit: 5 })
  return jobs
}
