import { type CallSite, captureStack, readCallSite } from './call-site.ts'
import { type KnownLibrary, knownLibrary } from './libraries.ts'
import { type Remedy, remedies } from './remedies.ts'

/** What happened at a call site, in one word. */
export type FindingKind = 'outside' | 'late' | 'log line' | 'swapped'

/** A call site at which the context is lost or swapped. */
export interface Finding {
  /**
   * `outside`: a variable that requests set was read outside any unit, or a call that needs a unit was made there;
   * `late`: a variable was read or written after the end of its unit;
   * `log line`: a line was logged outside any unit while requests were in progress;
   * `swapped`: a callback that one request registered ran in another one.
   */
  readonly kind: FindingKind
  /** What happened, in words, such as `read of 'user' outside any unit`. */
  readonly what: string
  /** File, line and column, such as `/app/src/orders.ts:12:7`. For `swapped`: where the callback was registered. */
  readonly callSite: string
  /** The package, or the module of Node, that called the code. Undefined if no other code did. */
  readonly library: string | undefined
  /** How often it happened so far. */
  readonly count: number
  readonly remedy: Remedy
}

/** How many call sites are remembered. */
const maxFindings = 1000

interface Sighting {
  readonly kind: FindingKind
  readonly what: string
  /** Identifies it at its call site. Default: `what`. For a `what` with a part that changes, such as the name of an event. */
  readonly subject?: string
  readonly site: CallSite
  /** The library, if it is known in another way than by the stack. */
  readonly library?: KnownLibrary | undefined
  /** Whether no request was in progress. */
  readonly isIdle?: boolean
  /** Default: by the library, else by the kind. */
  readonly remedy?: Remedy
}

/** The findings so far, each call site once. */
export class Findings {
  readonly #found = new Map<string, Finding & { count: number }>()
  readonly #onFinding: (finding: Finding) => void

  constructor(onFinding: (finding: Finding) => void) {
    this.#onFinding = onFinding
  }

  get all(): Finding[] {
    return Array.from(this.#found.values(), (finding) => ({ ...finding }))
  }

  add(sighting: Sighting): void {
    const { kind, what, subject = what, site } = sighting
    const key = `${kind} ${subject} ${site.place}`
    const known = this.#found.get(key)
    if (known !== undefined) {
      known.count++
      return
    }
    if (this.#found.size >= maxFindings) return
    const library = sighting.library ?? knownIn(site)
    const finding = {
      kind,
      what,
      callSite: site.place,
      library: library?.name ?? site.library,
      count: 1,
      remedy: sighting.remedy ?? remedyFor(sighting, library),
    }
    this.#found.set(key, finding)
    this.#onFinding({ ...finding })
  }
}

/** The call site of the current code. */
export function callSiteHere(): CallSite {
  return readCallSite(captureStack())
}

/** The innermost known library above the call site. */
function knownIn({ libraries }: CallSite): KnownLibrary | undefined {
  return libraries.map((name) => knownLibrary(name)).find((library) => library !== undefined)
}

/** A queue or a promise of a package can call the code for another request than the one that registered it. */
function lateRemedy({ library }: CallSite): Remedy {
  const { advice } = remedies.awaitOrSpawn
  if (library !== undefined && emitting.has(library)) {
    return { ...remedies.awaitOrSpawn, advice: `${advice} Remove a listener at the end of its unit.` }
  }
  if (library === undefined || library.startsWith('node:')) return remedies.awaitOrSpawn
  return {
    ...remedies.awaitOrSpawn,
    advice: `${advice} If ${library} calls this code for another request, wrap it: bind(fn).`,
  }
}

const emitting: ReadonlySet<string> = new Set(['node:events', 'node:event_target'])

function remedyFor({ kind, site, isIdle }: Sighting, library: KnownLibrary | undefined): Remedy {
  if (kind === 'late') return lateRemedy(site)
  // Code that a framework runs at its start belongs to no request.
  if (library !== undefined && !(isIdle && library.remedy === remedies.registerEarlier)) {
    return { ...library.remedy, advice: library.advice }
  }
  // The code runs in a request, but before its unit.
  if (kind === 'outside' && site.libraries.includes('node:_http_server')) return remedies.useEarlier
  if (isIdle) return remedies.runInUnit
  if (kind !== 'outside') return remedies.bind
  if (site.libraries.some((name) => emitting.has(name))) return remedies.bindEmitter
  // A scheduled job, too, can run while requests are in progress.
  return { ...remedies.bind, advice: `${remedies.bind.advice} If it belongs to no request: runInScope(fn).` }
}
