import { styleText } from 'node:util'
import { isRight, subjectOf } from './check.ts'
import { requests, send } from './requests.ts'
import { openShop } from './shop.ts'
import { type LogLine, unitsOf } from './units.ts'
import { heading, waterfall } from './waterfall.ts'

const lines: LogLine[] = []
const sent = new Map(requests.map((request) => [request.id, request]))

const shop = await openShop((line) => {
  lines.push(line)
  const request = sent.get(subjectOf(line))
  // When the warehouse has begun, all three services are at work, and none has an answer yet.
  if (request?.hangsUp && line.name === 'warehouse') request.connection.abort()
})
const outcomes = await Promise.all(requests.map((request) => send(shop.gateway, request)))
// Most tasks still run: each service waits for its own.
await shop.close()

const units = unitsOf(lines)
console.log(styleText('dim', heading))
for (const [i, { id }] of requests.entries()) {
  console.log(styleText('bold', `\n${id}: ${outcomes[i]}`))
  for (const unit of units.values()) {
    if (unit.parent === undefined && subjectOf(unit.first) === id) console.log(waterfall(unit).join('\n'))
  }
}

const checked = lines.filter((line) => subjectOf(line) !== '')
const wrong = checked.filter((line) => !isRight(line, units.get(line.span_id ?? ''), sent.get(subjectOf(line))))
for (const line of wrong) console.error('wrong:', JSON.stringify(line))
console.log(`\nlog lines checked: ${checked.length}, wrong: ${wrong.length}\n`)

for (const { name, pid, finished, unfinished, elapsedMs, msg } of lines) {
  if (finished === undefined) continue
  console.log(`${name} (pid ${pid}): ${msg}, ${finished} finished, ${unfinished} unfinished, ${elapsedMs} ms`)
}
process.exitCode = checked.length > 0 && wrong.length === 0 ? 0 : 1
