// One runtime's part of `npm run soak`: the soak, and the controls after it.
import { controls, type Soaked, soakLibrary } from './soak.ts'

/** What was seen on one runtime. */
export interface Run {
  library: Soaked
  controls: Record<string, Soaked>
}

const [requests = 0, connections = 0, controlRequests = 0] = process.argv.slice(2).map(Number)
const run: Run = { library: await soakLibrary({ requests, connections }), controls: {} }
for (const [name, soakControl] of Object.entries(controls)) {
  run.controls[name] = await soakControl({ requests: controlRequests, connections })
}
process.stdout.write(JSON.stringify(run))
