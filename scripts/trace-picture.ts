// `npm run trace-picture`: runs the demo with its own receiver and draws one order for docs/guides/tracing.md.
import { writeFileSync } from 'node:fs'
import { describeRow, type SpanRow, spanRows } from './span-rows.ts'
import { runTracedDemo } from './traced-demo.ts'

const order = 'order-02'
const picture = 'docs/guides/tracing.svg'
const title = 'One order, as a collector received it'
const footnote =
  'Without a span: count-order, which shares the span of POST /orders, and the attempt of send-receipt that kill -9 ended.'
const colors = {
  gateway: ['#0969da', '#58a6ff'],
  orders: ['#1a7f37', '#4fc46a'],
  warehouse: ['#bc4c00', '#f0904d'],
  worker: ['#8250df', '#b087ff'],
}
const size = { width: 960, rowHeight: 30, left: 430, right: 890 }

const demo = await runTracedDemo()
const rows = spanRows(demo.spans, order)
if (demo.code !== 0 || rows.length === 0) {
  console.error(`The demo ended with ${demo.code} and sent ${rows.length} spans of ${order}.\n${demo.stderr}`)
  process.exit(1)
}
writeFileSync(picture, waterfall())
console.log(
  `${picture}: ${rows.length} spans of ${order} in ${new Set(rows.map(({ span }) => span.traceId)).size} traces`,
)

/** An SVG with a line for each span, on one axis of time, with colors for light and dark backgrounds. */
function waterfall(): string {
  const start = Math.min(...rows.map(({ span }) => span.startMs))
  const end = Math.max(...rows.map(({ span }) => span.endMs))
  const x = (ms: number) => Math.round(size.left + ((ms - start) / (end - start)) * (size.right - size.left))
  const height = 110 + rows.length * size.rowHeight
  const lines = rows.map((row, i) => line(row, 86 + i * size.rowHeight, x))
  const style = (mode: 0 | 1, text: string, soft: string) =>
    `text{fill:${text}}.soft{fill:${soft}}` +
    Object.entries(colors)
      .map(([service, color]) => `.${service}{fill:${color[mode]}}`)
      .join('')
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size.width} ${height}" width="${size.width}" height="${height}" role="img" aria-labelledby="title desc">
<title id="title">${title}</title>
<desc id="desc">${escape(`${rows.map(describeRow).join('; ')}. ${footnote}`)}</desc>
<style>text{font:14px system-ui,sans-serif}.soft{font-size:12px}${style(0, '#1f2328', '#59636e')}@media(prefers-color-scheme:dark){${style(1, '#e6edf3', '#9aa4af')}}</style>
<text x="8" y="28" font-weight="600">${title}</text>
<text class="soft" x="8" y="54">span and service</text><text class="soft" x="320" y="54">policy</text><text class="soft" x="${size.left}" y="54">time</text>
${lines.join('\n')}
<text class="soft" x="8" y="${height - 14}">${footnote}</text>
</svg>
`
}

function line(row: SpanRow, y: number, x: (ms: number) => number): string {
  const { span, policy, link, depth } = row
  const [from, to] = [x(span.startMs), x(span.endMs)]
  const indent = `${'   '.repeat(depth)}${depth > 0 ? '└ ' : ''}`
  const linked = link === undefined ? '' : `, in trace 2, linked to ${link.span.name}`
  // A long text after a late bar is cut off, and one before an early bar covers the policy.
  const isBefore = link !== undefined && to > (size.left + size.right) / 2
  return (
    `<g data-span="${escape(describeRow(row))}"><text x="8" y="${y}" xml:space="preserve">${indent}${escape(span.name)} ` +
    `<tspan class="soft ${span.service}">${span.service}</tspan></text>` +
    `<text class="soft" x="320" y="${y}">${policy === 'only' ? '{ only }' : (policy ?? '')}</text>` +
    `<rect class="${span.service}" x="${from}" y="${y - 14}" width="${Math.max(3, to - from)}" height="18" rx="4"/>` +
    `<text class="soft" x="${isBefore ? from - 6 : to + 6}" y="${y}"${isBefore ? ' text-anchor="end"' : ''}>` +
    `${Math.round(span.endMs - span.startMs)} ms${linked}</text></g>`
  )
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
}
