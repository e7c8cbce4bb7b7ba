import { parentPort } from 'node:worker_threads'
import { seen, threads, user } from './context.ts'

/** Answers each message with what it sees, in a message with a context of its own. */
parentPort?.on(
  'message',
  threads.onMessage((data) => {
    if (data === 'fail') throw new Error('the handler fails')
    const answer = seen(data)
    user.set('set by the worker')
    parentPort?.postMessage(threads.enclose(answer))
  }),
)
