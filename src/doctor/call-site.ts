import { fileURLToPath } from 'node:url'
import { isOwnFrame } from '../tasks/own-frames.ts'

/** Where code did something, as a stack trace shows it. */
export interface CallSite {
  /** The first line of the program: its file, line and column, such as `/app/src/orders.ts:12:7`; empty if unknown. */
  readonly place: string
  /** The package, else the module of Node, that called the code at `place`; undefined if no other code did. */
  readonly library: string | undefined
  /** All packages and modules of Node in the stack, innermost first. */
  readonly libraries: readonly string[]
  /** Whether the innermost code, except for Node's own, is the program's. */
  readonly isProgram: boolean
  /** Whether the innermost code is the program's, or a method `on` or `once` of Node that the program called. */
  readonly isDirect: boolean
}

/** How many frames are read: a framework can have many between its own code and the program's. */
const maxFrames = 60

/** Captures the stack, and reads it only if `readCallSite` is called. */
export function captureStack(): { stack?: string } {
  const { stackTraceLimit } = Error
  const holder: { stack?: string } = {}
  try {
    Reflect.set(Error, 'stackTraceLimit', maxFrames)
    Error.captureStackTrace(holder, captureStack)
  } finally {
    Reflect.set(Error, 'stackTraceLimit', stackTraceLimit)
  }
  return holder
}

export function readCallSite({ stack }: { stack?: string }): CallSite {
  const frames = String(stack)
    .split('\n')
    .flatMap((line) => frameOf(line) ?? [])
  const own = frames.findIndex(({ owner }) => owner === 'program')
  const place = own === -1 ? frames[0] : frames[own]
  const above = frames.slice(own + 1)
  const libraries = frames.map(({ owner }) => owner).filter((owner) => owner !== 'program')
  return {
    place: place?.place ?? '',
    library: callerIn(above.map(({ owner }) => owner)),
    libraries: [...new Set(libraries)],
    isProgram: frames.find(({ owner }) => !owner.startsWith('node:'))?.owner === 'program',
    isDirect: frames.find(({ isAdder }) => !isAdder)?.owner === 'program',
  }
}

/** The package that calls the program, possibly by an emitter or a timer of Node. Without one, the module of Node. */
function callerIn(owners: readonly string[]): string | undefined {
  const callers = owners.slice(owners.findIndex((owner) => owner !== 'program'))
  const end = callers.indexOf('program')
  const own = end === -1 ? callers : callers.slice(0, end)
  return own.find((owner) => !owner.startsWith('node:')) ?? own[0]
}

interface Frame {
  readonly place: string
  /** `program`, the name of a package, or of a module of Node such as `node:events`. */
  readonly owner: string
  /** Whether it is a method of Node that adds a listener: `on` of a stream calls `on` of `EventEmitter`. */
  readonly isAdder: boolean
}

const adder = /\bat [^ ]+\.(?:on|once|addListener|prependListener|prependOnceListener) .*\(node:/

/** A line of a stack; undefined for a line of this package, or one that is not a frame. */
function frameOf(line: string): Frame | undefined {
  const found = /(?:^|[\s(])((?:file:\/\/|node:|\/|[A-Za-z]:[\\/])[^()]*?:\d+:\d+)\)?$/.exec(line)?.[1]
  if (found === undefined || isOwnFrame(found)) return undefined
  const place = found.startsWith('file://') ? pathOf(found) : found
  return { place, owner: ownerOf(place), isAdder: adder.test(line) }
}

function pathOf(url: string): string {
  const [, address = '', position = ''] = /^(.*?)(:\d+:\d+)$/.exec(url) ?? []
  try {
    return fileURLToPath(address) + position
  } catch {
    return url
  }
}

function ownerOf(place: string): string {
  if (place.startsWith('node:')) return place.replace(/^node:internal\//, 'node:').replace(/(?:\/[^:]*)?:\d+:\d+$/, '')
  const parts = place.split(/[\\/]/)
  const at = parts.lastIndexOf('node_modules')
  const [first = '', second = ''] = parts.slice(at + 1)
  if (at === -1) return 'program'
  return first.startsWith('@') ? `${first}/${second}` : first
}
