import { type MicroRow, ofFloor } from '../harness/row.ts'
import { byHand, byLimit, byPromise, byQueue, bySpawn, bySpawnInServer } from './spawners.ts'
import { timed } from './tasks.ts'

export const inherit: MicroRow = {
  kind: 'micro',
  name: 'spawn-inherit',
  title: '`spawn`, inherit, to its end',
  about:
    'A task with one await starts in a request with two values, sees them, ends, and leaves the registry. A ' +
    'failure would be reported. 100 tasks at a time. Ours also has a name, an owner and a signal.',
  sides: [byHand, bySpawn, bySpawnInServer, byPromise, byLimit, byQueue].map((side) => timed(side, 'ann')),
  targets: [ofFloor(1.5)],
}
