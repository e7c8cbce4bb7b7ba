import { createServer } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { deserialize, serialize } from 'node:v8'
import { PGlite } from '@electric-sql/pglite'
import { dataDir } from '@electric-sql/pglite-prepopulatedfs'
import { fromPglite } from 'pg-boss'
import { createProcess } from './service.ts'

// The embedded PostgreSQL belongs to one process. This one runs the statements of the others, as soon as it has started.
const { ready } = await createProcess('database')
const startParams = [...PGlite.defaultStartParams, '-c', 'shared_buffers=4MB']
const database = PGlite.create({ loadDataDir: await dataDir(), startParams }).then(fromPglite)
const server = createServer((request, response) => void execute(request).then((answer) => response.end(answer)))
server.listen(0, '127.0.0.1', () => ready(server, () => {}))
async function execute(request: NodeJS.ReadableStream): Promise<Buffer> {
  const [text, values] = deserialize(await buffer(request)) as [string, unknown[]]
  return serialize(await (await database).executeSql(text, values).then(({ rows }) => ({ rows }), String))
}
