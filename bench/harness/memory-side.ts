// The process of one side of a memory row: `node memory-side.ts <row> <side>`.
import { sideOf } from '../rows/index.ts'
import { answerWith, tell, unknown } from './protocol.ts'

const [, , row = '', name = ''] = process.argv
const make = await sideOf(['memory'], row, name).prepare()
/** What the first ones bring with them is not theirs alone: code, caches, lists that grow. */
const warmUp = 50

answerWith(async (question) => {
  if (question.ask !== 'bytes') return unknown(question)
  await make(Math.min(warmUp, question.count))
  const before = heapBytes()
  await make(question.count)
  return { is: 'bytes', bytes: (heapBytes() - before) / question.count }
})
tell({ is: 'ready' })

/** What is left on the heap after the collector has been. Twice: what has finalizers goes the second time. */
function heapBytes(): number {
  globalThis.gc?.()
  globalThis.gc?.()
  return process.memoryUsage().heapUsed
}
