import { type EChartsOption, init } from 'echarts'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { rows } from '../rows/index.ts'
import { barChart } from './bars.ts'
import { curveChart } from './curves.ts'
import { pageOf } from './page.ts'
import { type Chart, font, withWords } from './chart.ts'
import { sections } from './sections.ts'
import { nodesOf, type Summary } from './summary.ts'

const root = join(import.meta.dirname, '../..')
const width = 760
const folder = join(root, 'docs/benchmarks')
const kept = join(root, '.cache/benchmarks.json')

export function readSummary(): Summary {
  return JSON.parse(readFileSync(join(folder, 'summary.json'), 'utf8')) as Summary
}

/** The rows of the last run that wrote no page: it was interrupted, or a row failed or was not steady. */
export function keptRows(): Summary | undefined {
  return existsSync(kept) ? (JSON.parse(readFileSync(kept, 'utf8')) as Summary) : undefined
}

export function keepRows(summary: Summary): void {
  mkdirSync(dirname(kept), { recursive: true })
  writeFileSync(kept, inLines(summary))
}

/** Writes the page, its charts and the numbers that they are made from. */
export function writeReport(summary: Summary): void {
  rmSync(kept, { force: true })
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'summary.json'), inLines(summary))
  writeFileSync(join(root, 'docs/benchmarks.md'), pageOf(rows, summary))
  for (const [name, chart] of chartsOf(summary)) writeFileSync(join(folder, `${name}.svg`), renderSvg(chart))
  const { status, stderr } = spawnSync('npx', ['oxfmt', 'docs/benchmarks.md'], {
    cwd: root,
    encoding: 'utf8',
    shell: process.platform === 'win32',
  })
  if (status !== 0) throw new Error(`oxfmt failed:\n${stderr}`)
}

/** The charts of the newest Node, by the name of their file. */
export function chartsOf(summary: Summary): [name: string, chart: Chart][] {
  const node = String(nodesOf(summary).at(-1))
  return sections.flatMap(({ name, title, rows: names, charted }) => {
    const measured = rows.filter((row) => names.includes(row.name) && row.name in summary.rows)
    const curves = measured.flatMap((row): [string, Chart][] =>
      row.kind === 'growth' ? [[row.name, curveChart(row, summary, node)]] : [],
    )
    return charted && measured.length > 0 ? [[name, barChart(title, measured, summary, node)], ...curves] : curves
  })
}

/** Renders a chart as SVG with a title, a description, and colors for light and dark backgrounds. */
export function renderSvg({ title, description, height, option }: Chart): string {
  const chart = init(null, null, { renderer: 'svg', ssr: true, width, height })
  chart.setOption({ animation: false, textStyle: { fontFamily: font }, ...option } satisfies EChartsOption)
  const svg = chart.renderToSVGString()
  chart.dispose()
  return withWords(svg, title, description)
}

/** JSON with one line for each side and each target. */
function inLines(summary: Summary): string {
  const text = JSON.stringify(summary, undefined, 2)
  return `${text.replaceAll(/\{\n\s+"\d+": \[[^{}]*\}/g, (record) => record.replaceAll(/\s+/g, ' ').replaceAll(/(?<=\[) | (?=\])/g, ''))}\n`
}
