import type { Row } from '../harness/row.ts'
import { baseOf } from '../harness/row.ts'
import { reasons } from '../reasons.ts'
import { number, spread, time, withUnit } from './format.ts'
import { type Section, sections } from './sections.ts'
import { countTargets, type Figures, nodesOf, spread as spreadOf, type Summary } from './summary.ts'
import { isMet, unitOf } from './verdict.ts'

/** `docs/benchmarks.md`. */
export function pageOf(rows: readonly Row[], summary: Summary): string {
  const { met, all } = countTargets(rows, summary.rows)
  const nodes = nodesOf(summary)
  return [
    '# Benchmarks',
    '<!-- Written by `npm run bench` from docs/benchmarks/summary.json and the words in bench/. -->',
    'The cost of this library, compared with its peers and with a _floor_: hand-written code for the same purpose. All ' +
      'figures of one table were measured in one run. Compare only figures of the same row and the same Node.',
    `**${met} of ${all} targets are met.** Each target is judged on each Node separately.${unmeasured(rows, summary)}`,
    tableOf(
      ['What', 'Target', ...nodes.map(heading)],
      rows.flatMap((row) => targetLines(row, summary, nodes).map((cells) => [row.title, ...cells])),
    ),
    ...(Object.values(summary.rows).some(({ quick }) => quick)
      ? ['_Some rows come from a quick run: a first impression._']
      : []),
    ...howToRead(summary),
    ...sections.flatMap((section) => sectionOf(section, rows, summary)),
    '',
  ].join('\n\n')
}

/** A target without a figure is neither met nor missed. */
function unmeasured(all: readonly Row[], { rows }: Summary): string {
  const targets = all.flatMap((row) => row.targets.map(({ words }) => rows[row.name]?.targets[words]))
  const left = targets.filter((byNode) => byNode === undefined).length
  return left === 0 ? '' : ` ${left} of ${targets.length} targets, shown as –, are not measured yet.`
}

function heading(node: string): string {
  return `Node ${node}`
}

function targetLines(row: Row, { rows }: Summary, nodes: readonly string[]): string[][] {
  const results = rows[row.name]?.targets ?? {}
  return row.targets.map((target) => [
    target.words,
    ...nodes.map((node) => {
      const figures = results[target.words]?.[node]
      if (figures === undefined) return '–'
      const value = spreadOf(figures)
      return `${isMet(target, value) ? 'met' : '**missed**'}, ${withUnit(value, unitOf(target))}`
    }),
  ])
}

function howToRead({ runs, rows }: Summary): string[] {
  return [
    '## How to read the tables',
    '- A **floor** is hand-written code for one purpose, without anything that this purpose does not need. It does the ' +
      'same work. The benchmark asserts that of every side before it measures: the value is read back, the task ended ' +
      'and its failure was reported, the trace id was sent, the fields are on the line.\n' +
      '- A cell has the ratio to the floor with its quartiles, then the figure itself. Without a floor, the ratio is to ' +
      'our side. `1.10 (1.05–1.20), 33 ns` means a tenth more than the floor; half of all rounds were between a ' +
      'twentieth and a fifth more.\n' +
      '- A ratio compares figures that were measured one after the other; its median is shown. If the machine is slow ' +
      'for a while, both are slow.\n' +
      '- For a server: the ratio of the requests per second, the requests per second, the CPU time of a request (and ' +
      'the difference to the floor), the 99th percentile of the response time.\n' +
      '- For memory: bytes, and the difference to the floor.\n' +
      '- The target "no peer faster" is missed if a peer was faster in three of four rounds. Of two equal sides, each ' +
      'is faster in half of them.\n' +
      '- _Reference_ sides count for no target. "Once more" is the floor in a second process: its ratio is the error of ' +
      'the measurement. If it is off by more than 5 %, the row is measured again, three times at most, and all samples ' +
      'count; if it still is, the run writes no page.\n' +
      '- Curves, rows without a target, other frameworks and job engines are measured on the newest Node alone.\n' +
      '- In the rows "without the kernel" a figure is the fastest of 200 batches of about one millisecond; the quartiles ' +
      'are those of several processes. The next request is sent after the response has closed.',
    '## How it is measured',
    'Each side has its own process, so that the compiler, the collector or the `AsyncLocalStorage` of one side does not ' +
      'slow another one. All sides of a row live at the same time. They take turns in a random order, after a warm-up ' +
      'that ends when a side gets no faster. A batch takes 25 ms; if another process used the CPU meanwhile, the batch ' +
      'is repeated. Every timed process keeps one object of `process.nextTick`: without it, chance decides whether that function ' +
      'is fast (see its row). Servers run on one core, the load on the other, with 50 connections. Bytes are those of the ' +
      'heap after a garbage collection, minus those before.',
    ...Object.entries(runs).map(([date, { machine, nodes, packages }]) => {
      const names = Object.entries(rows).flatMap(([name, row]) => (row.date === date ? [`\`${name}\``] : []))
      const peers = Object.entries(packages).map(([name, version]) => `${name} ${version}`)
      return (
        `Measured on ${date}: ${machine.cpu}, ${machine.cores} cores, ${machine.system}; ` +
        `Node ${Object.values(nodes).join(', ')}. Rows: ${names.join(', ')}. Packages: ${peers.join(', ')}.`
      )
    }),
    'The figures are in [summary.json](benchmarks/summary.json).',
    '```sh\nnpm run bench                                   # all rows, about 40 minutes; writes this page\n' +
      'npm run bench -- --rest                         # after an interrupted or noisy run: the rows that are left\n' +
      'npm run bench -- --quick                        # fewer rounds; writes nothing\n' +
      'npm run bench -- spawn --node 26 --rounds 5     # rows by a part of their name, one Node\n' +
      'npm run bench -- memory --write                 # rows of one kind; writes these and keeps the others\n' +
      'npm run bench -- --report                       # writes the page and the charts from summary.json\n' +
      'npm run bench -- --smoke                        # only the assertions, as in CI\n```',
  ]
}

function sectionOf(section: Section, all: readonly Row[], summary: Summary): string[] {
  const rows = section.rows.flatMap((name) => all.find((row) => row.name === name && name in summary.rows) ?? [])
  if (rows.length === 0) return []
  const chart = section.charted
    ? [`![${section.title}: ours, the floor and the peers, as in the tables below](benchmarks/${section.name}.svg)`]
    : []
  return [`## ${section.title}`, ...chart, ...rows.flatMap((row) => rowOf(row, summary))]
}

function rowOf(row: Row, summary: Summary): string[] {
  const chart =
    row.kind === 'growth' ? [`![${row.title}, the curves of the table below](benchmarks/${row.name}.svg)`] : []
  const sides = summary.rows[row.name]?.sides ?? {}
  // A side that was added since the last run has no figures yet.
  const measured = row.sides.filter(({ name }) => sides[name] !== undefined)
  const nodes = nodesOf(summary).filter((node) => measured.some(({ name }) => sides[name]?.[node]))
  const lines = measured.map(({ name, role }) => [
    role === 'ours' ? `**${name}**` : name,
    role,
    ...nodes.map((node) => cellOf(row, name, sides[name]?.[node])),
  ])
  const targets = targetLines(row, summary, nodes)
  const missed = targets.some((cells) => cells.some((cell) => cell.startsWith('**missed**')))
  return [
    `### ${row.title}`,
    row.about,
    ...chart,
    tableOf(['', '', ...nodes.map(heading)], lines),
    ...(targets.length === 0 ? [] : [tableOf(['Target', ...nodes.map(heading)], targets)]),
    ...(missed ? [`**Missed:** ${reasons[row.name] ?? 'the reason was not examined yet.'}`] : []),
  ]
}

/** The figures of a side in words. */
export function cellOf(row: Row, side: string, figures: Figures | undefined): string {
  if (figures === undefined) return '–'
  const isBase = side === baseOf(row)
  const ratio = (of: Figures) => (isBase ? '1' : spread(spreadOf(of)))
  const difference = (value = 0) => (isBase ? '' : `${value < 0 ? '−' : '+'}${number(Math.abs(value))}`)
  const [first = 0] = figures
  if (row.kind === 'micro') {
    const figure = row.rate === undefined ? time(first) : `${number(1e9 / first)} ${row.rate}`
    const bytes = figures[4] === undefined ? '' : `, ${number(figures[4])} B`
    return `${ratio(figures.slice(1, 4))}, ${figure}${bytes}`
  }
  if (row.kind === 'growth') return withUnit(spreadOf(figures), 'ns')
  if (row.kind === 'memory') return [`${number(first)} B`, difference(figures[1])].filter(Boolean).join(', ')
  const [cpu = 0, more = 0, p99 = 0] = figures.slice(4)
  const cpuText = `${number(cpu)} µs${isBase ? '' : ` (${difference(more)})`}`
  return [ratio(figures.slice(1, 4)), `${number(first)}/s`, cpuText, `p99 ${number(p99)} ms`].join(', ')
}

function tableOf(head: readonly string[], lines: readonly (readonly string[])[]): string {
  const row = (texts: readonly string[]) => `| ${texts.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [row(head), row(head.map(() => '---')), ...lines.map(row)].join('\n')
}
