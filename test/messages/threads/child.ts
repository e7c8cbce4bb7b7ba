import { seen, threads } from './context.ts'

process.on(
  'message',
  threads.onMessage((data) => {
    process.send?.(seen(data))
  }),
)
