/**
 * Why a target is missed, and what was tried, by the row's name; the page says it below the row. A row that meets its
 * targets needs none.
 */
export const reasons: Readonly<Record<string, string>> = {}
