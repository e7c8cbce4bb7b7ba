// `npm run trace-picture`: runs the demo with a receiver of its own and draws one of its orders for docs/guides/tracing.md.
import { writeFileSync } from 'node:fs'
import { spanRows } from './span-rows.ts'
import { runTracedDemo } from './traced-demo.ts'
import { waterfallSvg } from './waterfall-svg.ts'

const order = 'order-01'
const picture = 'docs/guides/tracing.svg'

const demo = await runTracedDemo()
const rows = spanRows(demo.spans, order)
if (demo.code !== 0 || rows.length === 0) {
  console.error(`The demo has ended with ${demo.code} and sent ${rows.length} spans of ${order}.\n${demo.stderr}`)
  process.exit(1)
}
const footnote = 'Without a span: count-order, spawned with share; it is part of POST /orders.'
writeFileSync(picture, waterfallSvg(rows, 'One order, as a collector has received it', footnote))
console.log(
  `${picture}: ${rows.length} spans of ${order} in ${new Set(rows.map(({ span }) => span.traceId)).size} traces`,
)
