// The process of one side of a row that is timed: `node micro-side.ts <row> <side>`. It measures when the parent asks.
import { sideOf } from '../rows/index.ts'
import { calibrate, lastResult, runLoop, timeUndisturbed } from './loop.ts'
import { answerWith, tell, unknown } from './protocol.ts'
import { keepTickShape } from './tick-shape.ts'

const [, , row = '', name = ''] = process.argv
await keepTickShape()
const work = await sideOf(['micro', 'growth'], row, name).setup()

answerWith(async (question) => {
  if (question.ask === 'calibrate') {
    return { is: 'count', count: await calibrate(work, question.batchMs, question.warmUp) }
  }
  if (question.ask === 'batch') return { is: 'time', nsPerOp: await timeUndisturbed(work, question.count) }
  if (question.ask !== 'check') return unknown(question)
  await work.check()
  await (work.within ?? ((loop) => loop()))(() => runLoop(work, 3))
  // A read of the last result, so that the compiler keeps it.
  lastResult()
  return { is: 'done', bytes: work.bytes }
}, work.close)
tell({ is: 'ready' })
