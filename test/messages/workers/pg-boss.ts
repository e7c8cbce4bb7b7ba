import { openBoss } from 'logical-context/messages/pg-boss'
import { propagators, report } from './report.ts'

const [, , url = '', queue = ''] = process.argv
const supervised = { schedule: false, superviseIntervalSeconds: 1, monitorIntervalSeconds: 1 }
const { work } = await openBoss({ url, propagators, boss: supervised })

await work(queue, { pollingIntervalSeconds: 0.5 }, report)
