import { reasons } from '../reasons.ts'
import { number, spread, withUnit } from './format.ts'
import { countTargets, type NodeResult, type Results, type RowResult, type SideResult } from './results.ts'
import { type Section, sections } from './sections.ts'

/** `docs/benchmarks.md`, of the results alone. */
export function pageOf(results: Results): string {
  const { met, all } = countTargets(results.rows)
  return [
    '# Benchmarks',
    '<!-- Written by `npm run bench`, of docs/benchmarks/results.json and the words in bench/report and bench/reasons.ts. -->',
    'What this library costs beside the least that can be done for the same end, the _floor_, and beside its peers. All ' +
      'figures of one table were measured in one run; compare figures of one row and one Node, and nothing else.',
    ...(results.rows.length === 0
      ? ['_Not measured yet: `npm run bench` writes the figures here._']
      : [`**${met} of ${all} targets are met.** Each target is judged on each Node on its own.`, overview(results)]),
    ...(results.rows.some(({ quick }) => quick) ? ['_Some rows are of a quick run: a first impression._'] : []),
    ...howToRead(results),
    ...sections.flatMap((section) => sectionOf(section, results)),
    '',
  ].join('\n\n')
}

function overview({ rows, nodes }: Results): string {
  const versions = Object.keys(nodes)
  const lines = rows
    .filter((row) => (row.nodes[0]?.verdicts.length ?? 0) > 0)
    .flatMap((row) => targetLines(row, versions).map((cells) => [row.title, ...cells]))
  return tableOf(['What', 'Target', ...versions.map((version) => `Node ${version}`)], lines)
}

function targetLines(row: RowResult, versions: readonly string[]): string[][] {
  const words = row.nodes[0]?.verdicts.map((verdict) => verdict.words) ?? []
  return words.map((target, i) => [
    target,
    ...versions.map((version) => {
      const verdict = row.nodes.find(({ node }) => node === version)?.verdicts[i]
      if (verdict === undefined) return '–'
      return `${verdict.met ? 'met' : '**missed**'}, ${withUnit(verdict.value, verdict.unit)}`
    }),
  ])
}

function howToRead({ date, machine, nodes, packages, rows }: Results): string[] {
  const versions = Object.values(nodes).join(', ')
  const peers = Object.entries(packages).map(([name, version]) => `${name} ${version}`)
  const measuredOn =
    `Measured on ${date}: ${machine.cpu}, ${machine.cores} cores, ${machine.system}; Node ${versions}. ` +
    `Beside: ${peers.join(', ')}. The figures are in [results.json](benchmarks/results.json).`
  return [
    '## How to read it',
    '- A **floor** is hand-written code for that one end, with nothing to spare. It does the same work, which is ' +
      'asserted of every side before it is timed: the value is read back, the task has ended and its failure was ' +
      'reported, the trace id went out, the fields are on the line.\n' +
      '- A cell holds the ratio to the floor (to ours, where there is no floor), with its quartiles, and the figure ' +
      'itself. `1.10 (1.05–1.20), 33 ns` is a tenth more than the floor; half of all rounds were between a twentieth ' +
      'and a fifth more.\n' +
      '- A ratio is taken between figures that were measured one after the other, and its median is shown: what slows ' +
      'the machine for a while slows both.\n' +
      '- Of a server: the ratio of the requests a second, these, the processor time of one request and how much of it ' +
      'is more than at the floor, the 99th percentile of the time to a reply.\n' +
      '- Of memory: bytes, and how many more than at the floor.\n' +
      '- "No peer faster" is missed if a peer was faster in three of four rounds: of two that do the same, each is so in ' +
      'half of them.\n' +
      '- _Reference_ rows count for no target.',
    '## How it is measured',
    'Each side has a process of its own, so that no compiler, collector or second `AsyncLocalStorage` of one side costs ' +
      'another one anything. All sides of a row live at the same time and take turns, in another order each time, after ' +
      'each has been warmed up until it gets no faster. A batch of 25 ms in which something else had the processor is taken again. Servers run on one core, ' +
      'the load on the other, 50 connections. Bytes are those of the heap after the collector has been, less what was ' +
      'there before.',
    ...(rows.length === 0 ? [] : [measuredOn]),
    '```sh\nnpm run bench                                   # all of it, most of an hour; writes this page\n' +
      'npm run bench -- --quick                        # the same with fewer rounds, writes nothing\n' +
      'npm run bench -- spawn --node 26 --rounds 5     # rows by a part of their name, one Node\n' +
      'npm run bench -- memory --write                 # rows of one kind; writes them anew, and leaves the others\n' +
      'npm run bench -- --smoke                        # the assertions alone, as in CI\n```',
  ]
}

function sectionOf(section: Section, results: Results): string[] {
  const rows = section.rows.flatMap((name) => results.rows.find((row) => row.name === name) ?? [])
  if (rows.length === 0) return []
  const chart =
    section.figure === undefined
      ? []
      : [`![${section.title}: ours, the floor and the peers, as in the tables below](benchmarks/${section.name}.svg)`]
  return [`## ${section.title}`, ...chart, ...rows.flatMap((row) => rowOf(row, Object.keys(results.nodes)))]
}

function rowOf(row: RowResult, versions: readonly string[]): string[] {
  const missed = row.nodes.flatMap(({ verdicts }) => verdicts).some(({ met }) => !met)
  const why = missed ? [`**Missed:** ${reasons[row.name] ?? 'not looked into yet.'}`] : []
  const chart =
    row.kind === 'growth' ? [`![${row.title}, the curves of the table below](benchmarks/${row.name}.svg)`] : []
  const sides = row.nodes[0]?.sides ?? []
  const lines = sides.map((side, i) => [
    side.role === 'ours' ? `**${side.name}**` : side.name,
    side.role,
    ...versions.map((version) =>
      cellOf(
        row,
        row.nodes.find(({ node }) => node === version),
        i,
      ),
    ),
  ])
  const targets = row.nodes.length === 0 ? [] : targetLines(row, versions)
  const judged =
    targets.length === 0 ? [] : [tableOf(['Target', ...versions.map((version) => `Node ${version}`)], targets)]
  return [
    `### ${row.title}`,
    row.about,
    ...chart,
    tableOf(['', '', ...versions.map((version) => `Node ${version}`)], lines),
    ...judged,
    ...why,
  ]
}

function cellOf({ kind }: RowResult, result: NodeResult | undefined, i: number): string {
  const side = result?.sides[i]
  return side === undefined ? '–' : cells[kind](side)
}

const cells: Readonly<Record<RowResult['kind'], (side: SideResult) => string>> = {
  micro: ({ figures: [ns], isBase }) => join(ns && [isBase ? '1' : spread(ns.ratio), `${number(ns.value.median)} ns`]),
  growth: ({ figures: [ns] }) => join(ns && [`${spread(ns.value)} ns`]),
  memory: ({ figures: [bytes], isBase }) =>
    join(bytes && [`${number(bytes.value.median)} B`, ...(isBase ? [] : [signed(bytes.more.median)])]),
  fastify: ({ figures: [requests, cpu, p99], isBase }) =>
    join(
      requests && [
        isBase ? '1' : spread(requests.ratio),
        `${number(requests.value.median)}/s`,
        `${number(cpu?.value.median ?? 0)} µs${isBase ? '' : ` (${signed(cpu?.more.median ?? 0)})`}`,
        `p99 ${number(p99?.value.median ?? 0)} ms`,
      ],
    ),
}

function join(words: readonly string[] | undefined): string {
  return words?.join(', ') ?? '–'
}

function signed(value: number): string {
  return `${value < 0 ? '−' : '+'}${number(Math.abs(value))}`
}

function tableOf(head: readonly string[], lines: readonly (readonly string[])[]): string {
  const row = (texts: readonly string[]) => `| ${texts.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [row(head), row(head.map(() => '---')), ...lines.map(row)].join('\n')
}
