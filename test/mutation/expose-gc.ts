import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

// Threads, which start faster than processes, take no --expose-gc.
setFlagsFromString('--expose-gc')
globalThis.gc = runInNewContext('gc') as typeof globalThis.gc
