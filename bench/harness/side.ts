// The process of one side of one row: `node side.ts <row> <side>`. It waits for its turns.
import { rowNamed } from '../rows/index.ts'
import { calibrate, lastResult, runLoop, timeBatch } from './loop.ts'
import type { Answer, Question } from './protocol.ts'
import type { Work } from './row.ts'

const [, , rowName = '', sideName = ''] = process.argv
const row = rowNamed(rowName)
const side = row.sides.find(({ name }) => name === sideName)
if (side === undefined) throw new Error(`Row '${rowName}' has no side '${sideName}'.`)

const work = await side.setup()
process.on('message', (question: Question) => void reply(question))
tell({ is: 'ready' })

async function reply(question: Question): Promise<void> {
  try {
    tell(await answer(work, question))
  } catch (error) {
    tell({ is: 'failed', error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  }
}

async function answer(work: Work, question: Question): Promise<Answer> {
  switch (question.ask) {
    case 'check':
      await work.check()
      await (work.within ?? ((loop) => loop()))(() => runLoop(work, 3))
      // Read, so that the results count for something.
      lastResult()
      return { is: 'done' }
    case 'calibrate':
      return { is: 'count', count: await calibrate(work, question.batchMs) }
    case 'batch':
      return { is: 'time', nsPerOp: await timeBatch(work, question.count) }
  }
}

function tell(answer: Answer): void {
  process.send?.(answer)
}
