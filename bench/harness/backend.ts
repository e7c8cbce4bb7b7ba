// What the servers of an outbound row call. It answers each request with the headers that it received.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { answerWith, tell, unknown } from './protocol.ts'

const server = createServer((request, response) => {
  response.setHeader('content-type', 'text/plain')
  response.end(request.headers['traceparent'] === undefined ? 'no trace' : 'a trace')
})
server.keepAliveTimeout = 60_000
server.listen(0, '127.0.0.1', () => {
  answerWith(unknown)
  tell({ is: 'listening', port: (server.address() as AddressInfo).port })
})
