import type { FastifyInstance } from 'fastify'
import { logicalContext } from 'logical-context/middleware/fastify'

/** As fastify-cli loads the plugins of an app. */
export default async function context(app: FastifyInstance, options: object): Promise<void> {
  void app.register(logicalContext, options)
  app.get('/orders', async ({ log }) => log.info('handled'))
}
