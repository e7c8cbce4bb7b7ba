/** A table of Markdown: its heads and its rows, as texts. */
export interface Table {
  heads: readonly string[]
  rows: readonly (readonly string[])[]
}

/** Padded as the formatter of this repository has it: to the longest cell of each column. */
export function writeTable({ heads, rows }: Table): string {
  const widths = heads.map((_, column) => Math.max(3, ...[heads, ...rows].map((row) => (row[column] ?? '').length)))
  const line = (cells: readonly string[]) =>
    `| ${widths.map((width, column) => (cells[column] ?? '').padEnd(width)).join(' | ')} |`
  return [line(heads), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n')
}

/** All tables of a text, in their order. */
export function readTables(text: string): Table[] {
  const tables: Table[] = []
  let lines: string[][] = []
  for (const line of [...text.split('\n'), '']) {
    if (line.startsWith('|')) {
      lines.push(
        line
          .split('|')
          .slice(1, -1)
          .map((cell) => cell.trim()),
      )
      continue
    }
    const [heads, , ...rows] = lines
    if (heads !== undefined) tables.push({ heads, rows })
    lines = []
  }
  return tables
}
