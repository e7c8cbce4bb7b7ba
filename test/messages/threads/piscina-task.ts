import { seen, threads } from './context.ts'

export default threads.task((data) => {
  if (data === 'fail') throw new Error('the task fails')
  return seen(data)
})
