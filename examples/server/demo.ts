import { setTimeout } from 'node:timers/promises'
import { styleText } from 'node:util'
import { collectorUrl, exportReport } from './collector.ts'
import { isRight, type LogLine, subjectOf, unitsOf } from './log-lines.ts'
import { requests } from './requests.ts'
import { openShop } from './shop.ts'
import { heading, waterfall } from './waterfall.ts'

const args = process.argv.slice(2)
const collector = collectorUrl(args)
const lines: LogLine[] = []
const sent = new Map(requests.map((request) => [request.id, request]))
const shop = await openShop((line) => {
  lines.push(line)
  const request = sent.get(subjectOf(line))
  // Once the warehouse started, all three services are working and none has answered.
  if (request?.hangsUp && line.name === 'warehouse') request.connection.abort('hung up')
  // The first attempt of this job hangs. It ends by kill -9 of its worker, and another worker runs the job again.
  if (request?.order.jams && line.job_attempt === 1) process.kill(line.pid ?? 0, 'SIGKILL')
}, args)
const calls = requests.map(({ call }) => fetch(`${shop.gateway}/orders`, call).then(({ status }) => status, String))
const outcomes = await Promise.all(calls)
// Most tasks still run. Each service waits for its own tasks. Then only jobs are left.
await shop.closeServices()
const jobs = lines.flatMap(({ job }) => job ?? [])
const lost = () => jobs.filter((job) => !lines.some((line) => line.msg === 'job ends' && line.job_id === job)).length
for (let i = 0; i < 200 && lost() > 0; i++) await setTimeout(100)
await shop.close()
const units = unitsOf(lines)
console.log(styleText('dim', heading))
for (const [i, { id, order, user, tenant, note }] of requests.entries()) {
  const title = `${id}  ${order.quantity} × ${order.item} for ${user} of ${tenant}: ${outcomes[i]}`
  console.log(styleText('bold', `\n${title}${note && ` (${note})`}`))
  const roots = Array.from(units.values()).filter((unit) => unit.parent === undefined && subjectOf(unit.first) === id)
  console.log(roots.flatMap(waterfall).join('\n'))
}
const checked = lines.filter((line) => subjectOf(line) !== '')
const wrong = checked.filter((line) => !isRight(line, units.get(line.span_id ?? ''), sent.get(subjectOf(line))))
for (const line of wrong) console.error('wrong:', JSON.stringify(line))
console.log(`\nlog lines checked: ${checked.length}, wrong: ${wrong.length}`)
console.log(`jobs enqueued: ${jobs.length}, finished: ${jobs.length - lost()}, lost: ${lost()}\n`)
for (const { name, pid, finished, unfinished, elapsedMs } of lines.filter((line) => line.finished !== undefined)) {
  console.log(`${name} (pid ${pid}) drained in ${elapsedMs} ms: ${finished} tasks finished, ${unfinished} unfinished`)
}
if (collector !== undefined) console.log(`\n${exportReport(collector, lines)}`)
process.exitCode = checked.length > 0 && wrong.length === 0 && lost() === 0 ? 0 : 1
