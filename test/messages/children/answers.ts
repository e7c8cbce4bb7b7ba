import { children, seen } from './context.ts'

process.on(
  'message',
  children.onMessage((data) => {
    if (data === 'fail') throw new Error('the handler fails')
    process.send?.(seen())
  }),
)
