// The process of one side of a memory row: `node memory-side.ts <row> <side>`.
import { sideOf } from '../rows/index.ts'
import { answerWith, tell, unknown } from './protocol.ts'

const [, , row = '', name = ''] = process.argv
const make = await sideOf(['memory'], row, name).prepare()
/** The first things also allocate code, caches and lists, which are not their own cost. */
const warmUp = 50

answerWith(async (question) => {
  if (question.ask !== 'bytes') return unknown(question)
  await make(Math.min(warmUp, question.count))
  const before = heapBytes()
  await make(question.count)
  return { is: 'bytes', bytes: (heapBytes() - before) / question.count }
})
tell({ is: 'ready' })

/** The used heap after two garbage collections: objects with finalizers go in the second one. */
function heapBytes(): number {
  globalThis.gc?.()
  globalThis.gc?.()
  return process.memoryUsage().heapUsed
}
