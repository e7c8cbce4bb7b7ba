interface Colours {
  readonly ink: string
  readonly soft: string
  readonly line: string
  readonly ours: string
  readonly floor: string
  readonly other: string
}

const light: Colours = {
  ink: '#1f2328',
  soft: '#59636e',
  line: '#d1d9e0',
  ours: '#0b5fcc',
  floor: '#8250df',
  other: '#818b98',
}
const dark: Colours = {
  ink: '#f0f6fc',
  soft: '#b1bac4',
  line: '#3d444d',
  ours: '#58a6ff',
  floor: '#bc8cff',
  other: '#6e7681',
}

/** A picture that stands on any ground, light or dark, and says in words what it shows. */
export function svg(
  title: string,
  description: string,
  width: number,
  height: number,
  body: readonly string[],
): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="title description">
<title id="title">${escape(title)}</title>
<desc id="description">${escape(description)}</desc>
<style>
text { font: 13px system-ui, sans-serif }
.title { font-weight: 600 }
.soft { font-size: 12px }
path { stroke-width: 2 }
path.ours { stroke-width: 3 }
path.floor { stroke-dasharray: 6 4 }
path.grid { stroke-width: 1 }
${painted(light)}
@media (prefers-color-scheme: dark) {
${painted(dark)}
}
</style>
${body.join('\n')}
</svg>
`
}

/** Written out: not all that shows a picture knows variables. */
function painted({ ink, soft, line, ours, floor, other }: Colours): string {
  return [
    `text { fill: ${ink} } text.soft { fill: ${soft} }`,
    `.ours { fill: ${ours} } .floor { fill: ${floor} } .other { fill: ${other} }`,
    `path.ours { fill: none; stroke: ${ours} } path.floor { fill: none; stroke: ${floor} }`,
    `path.other { fill: none; stroke: ${other} } path.grid { fill: none; stroke: ${line} }`,
  ].join('\n')
}

export function text(
  x: number,
  y: number,
  words: string,
  options: { kind?: string; anchor?: 'start' | 'middle' | 'end' } = {},
): string {
  const { kind, anchor = 'start' } = options
  return `<text x="${fixed(x)}" y="${fixed(y)}" text-anchor="${anchor}"${kind === undefined ? '' : ` class="${kind}"`}>${escape(words)}</text>`
}

export function fixed(value: number): string {
  return String(Number(value.toFixed(1)))
}

function escape(words: string): string {
  return words.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}
