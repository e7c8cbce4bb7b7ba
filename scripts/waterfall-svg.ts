import { describeRow, type SpanRow } from './span-rows.ts'

const width = 960
const rowHeight = 32
const headHeight = 34
const plot = { left: 424, right: 876 }
const barHeight = 18
/** A bar of that width has room for its duration. */
const labelWidth = 50

/** A waterfall of spans, a panel for each trace, on one axis of time. It brings its own background, light or dark. */
export function waterfallSvg(rows: readonly SpanRow[], title: string, footnote: string): string {
  const start = Math.min(...rows.map(({ span }) => span.startMs))
  const duration = Math.max(...rows.map(({ span }) => span.endMs)) - start
  const step = duration > 400 ? 100 : 50
  const scale = (plot.right - plot.left) / duration
  const x = (ms: number) => round(plot.left + (ms - start) * scale)

  const y = new Map<SpanRow, number>()
  const heads: string[] = []
  let at = 88
  let traceId = ''
  for (const [i, row] of rows.entries()) {
    if (row.span.traceId !== traceId) {
      traceId = row.span.traceId
      if (i > 0) at += 14
      heads.push(traceHead(at, heads.length + 1, traceId))
      at += headHeight
    }
    y.set(row, at)
    at += rowHeight
  }
  const middle = (row: SpanRow) => (y.get(row) ?? 0) + rowHeight / 2
  const bottom = at
  const height = bottom + 66

  const ticks = Array.from({ length: Math.floor(duration / step) + 1 }, (_, i) => i * step)
  const axis = ticks.map((ms) => {
    const place = x(start + ms)
    return `<path class="grid" d="M${place} 76V${bottom}"/><text class="small" x="${place}" y="68" text-anchor="middle">${ms}${ms === 0 ? ' ms' : ''}</text>`
  })
  const [first] = rows
  const answered = first === undefined ? '' : answeredLine(x(first.span.endMs), bottom)

  const drawn = rows.map((row) => {
    const { span, policy, parent, depth } = row
    const line = middle(row)
    const left = 32 + depth * 20
    const bar = Math.max(3, x(span.endMs) - x(span.startMs))
    const inside = bar >= labelWidth
    const label = inside ? round(x(span.startMs) + bar / 2) : round(x(span.endMs) + 8)
    return [
      `<g data-span="${escape(describeRow(row))}">`,
      parent && `<path class="branch" d="M${left - 12} ${middle(parent) + 10}V${line}H${left - 3}"/>`,
      `<text x="${left}" y="${line + 5}">${escape(span.name)}<tspan class="small ${span.service}-text" dx="8">${span.service}</tspan></text>`,
      policy && pill(policy, line),
      `<rect class="${span.service}" x="${x(span.startMs)}" y="${line - barHeight / 2}" width="${round(bar)}" height="${barHeight}" rx="4"/>`,
      `<text class="small${inside ? ' inside' : ''}" x="${label}" y="${line + 4}"${inside ? ' text-anchor="middle"' : ''}>${Math.round(span.endMs - span.startMs)} ms</text>`,
      row.link && linkArrow(x(span.startMs), line, middle(row.link) + barHeight / 2),
      '</g>',
    ]
      .filter(Boolean)
      .join('')
  })
  const services = Array.from(new Set(rows.map(({ span }) => span.service)))
  const legend = services.map((service, i) => {
    const left = 24 + i * 110
    return `<rect class="${service}" x="${left}" y="${bottom + 27}" width="12" height="12" rx="3"/><text class="small" x="${left + 18}" y="${bottom + 37}">${service}</text>`
  })

  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="title desc">`,
    `<title id="title">${escape(title)}</title>`,
    `<desc id="desc">${escape(`${rows.map(describeRow).join('; ')}. ${footnote}`)}</desc>`,
    `<style>${style}</style>`,
    `<rect class="card" x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="10"/>`,
    `<text class="title" x="24" y="36">${escape(title)}</text>`,
    ...axis,
    ...heads,
    answered,
    ...drawn,
    ...legend,
    `<text class="small" x="${width - 24}" y="${bottom + 37}" text-anchor="end">${escape(footnote)}</text>`,
    '</svg>',
    '',
  ].join('\n')
}

function traceHead(y: number, number: number, traceId: string): string {
  return `<rect class="head" x="12" y="${y}" width="${width - 24}" height="26" rx="5"/><text class="small" x="24" y="${y + 17}">trace ${number}<tspan class="id" dx="8">${traceId.slice(0, 8)}…</tspan></text>`
}

function answeredLine(x: number, bottom: number): string {
  return `<path class="answered" d="M${x} 76V${bottom}"/><text class="small" x="${x}" y="50" text-anchor="middle">answered</text>`
}

function pill(policy: string, line: number): string {
  const text = policy === 'only' ? '{ only }' : policy
  return `<rect class="pill" x="338" y="${line - 10}" width="66" height="20" rx="10"/><text class="small" x="371" y="${line + 4}" text-anchor="middle">${text}</text>`
}

/** From a span back to the one that it is linked to, beside the bars that begin at the same time. */
function linkArrow(start: number, from: number, to: number): string {
  const x = start - 9
  return `<path class="link" d="M${start} ${from}H${x}V${to + 7}"/><path class="tip" d="M${x - 4} ${to + 8}L${x} ${to + 1}L${x + 4} ${to + 8}Z"/><text class="small link-text" x="${x - 5}" y="${from + 4}" text-anchor="end">link</text>`
}

const style = [
  'text{font:14px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;fill:#1f2328}',
  '.title{font-size:16px;font-weight:600}.small{font-size:12px;fill:#59636e}.id{font-family:ui-monospace,"DejaVu Sans Mono",monospace}',
  '.card{fill:#fff;stroke:#d1d9e0}.head{fill:#f3f5f8}.grid{stroke:#e3e8ee;fill:none}.branch{stroke:#a7b1bc;fill:none}',
  '.pill{fill:#f3f5f8;stroke:#d1d9e0}.link{stroke:#8250df;stroke-width:1.5;stroke-dasharray:4 3;fill:none}.tip{fill:#8250df}.link-text{fill:#8250df}',
  '.answered{stroke:#59636e;stroke-dasharray:2 3;fill:none}',
  '.inside{fill:#fff}.gateway{fill:#0969da}.orders{fill:#1a7f37}.warehouse{fill:#bc4c00}',
  '.gateway-text{fill:#0969da}.orders-text{fill:#1a7f37}.warehouse-text{fill:#bc4c00}',
  '@media (prefers-color-scheme:dark){text{fill:#e6edf3}.small{fill:#9aa4af}.card{fill:#0d1117;stroke:#3d444d}.head,.pill{fill:#1b222b}.pill{stroke:#3d444d}',
  '.grid{stroke:#21282f}.branch{stroke:#565f69}.link{stroke:#b48cff}.tip,.link-text{fill:#b48cff}.answered{stroke:#9aa4af}',
  '.inside{fill:#0d1117}.gateway,.gateway-text{fill:#58a6ff}.orders,.orders-text{fill:#4fc46a}.warehouse,.warehouse-text{fill:#f0904d}}',
].join('')

function round(value: number): number {
  return Math.round(value * 10) / 10
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
}
