// The part of `npm run soak` on one runtime: the soak, then the controls.
import { controls, type Soaked, soakLibrary } from './soak.ts'

/** The results on one runtime. */
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
