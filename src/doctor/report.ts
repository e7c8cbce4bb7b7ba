import type { Finding } from './finding.ts'

/** Writes a finding to stderr. */
export function printFinding({ what, callSite, library, remedy }: Finding): void {
  const caller = library === undefined ? '' : ` (called by ${library})`
  console.error(
    `logical-context doctor: ${what}\n  at ${callSite || 'an unknown place'}${caller}\n  ${remedy.advice}\n  ${pageOf(remedy.page)}`,
  )
}

/** Writes all findings to stderr, the most frequent first. */
export function printSummary(findings: readonly Finding[]): void {
  if (findings.length === 0) return
  const lines = findings
    .toSorted((a, b) => b.count - a.count)
    .map(({ count, what, callSite, library, remedy }) => {
      const caller = library === undefined ? '' : ` (${library})`
      return `  ${String(count).padStart(6)} × ${what} at ${callSite || 'an unknown place'}${caller}: ${remedy.name}`
    })
  const places = findings.length === 1 ? '1 place' : `${findings.length} places`
  console.error(`logical-context doctor: the context was lost or swapped in ${places}\n${lines.join('\n')}`)
}

function pageOf(page: string): string {
  return `node_modules/logical-context/${page}`
}
