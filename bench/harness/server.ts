// The server of one side: `node server.ts <row> <side> <url of the backend>`.
import type { AddressInfo } from 'node:net'
import { sideOf } from '../rows/index.ts'
import { answerWith, tell, unknown } from './protocol.ts'
import { keepTickShape } from './tick-shape.ts'

const [, , row = '', name = '', backend = ''] = process.argv
await keepTickShape()
const app = await sideOf(['fastify'], row, name).serve(backend)
await app.listen({ port: 0, host: '127.0.0.1' })

answerWith((question) => {
  if (question.ask !== 'usage') return unknown(question)
  const { user, system } = process.cpuUsage()
  return { is: 'usage', cpuMicros: user + system }
})
tell({ is: 'listening', port: (app.server.address() as AddressInfo).port })
