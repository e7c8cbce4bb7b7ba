/** A picture of its own: it stands on any ground, light or dark, and says in words what it shows. */
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
svg { --ink: #1f2328; --soft: #59636e; --line: #d1d9e0; --ours: #0b5fcc; --floor: #8250df; --other: #9aa4af; color-scheme: light dark }
@media (prefers-color-scheme: dark) {
  svg { --ink: #f0f6fc; --soft: #b1bac4; --line: #3d444d; --ours: #58a6ff; --floor: #bc8cff; --other: #6e7681 }
}
text { font: 13px system-ui, sans-serif; fill: var(--ink) }
.soft { fill: var(--soft); font-size: 12px }
.title { font-weight: 600 }
.ours { fill: var(--ours) } .floor { fill: var(--floor) } .other { fill: var(--other) }
path { fill: none; stroke-width: 2 }
path.ours { fill: none; stroke: var(--ours); stroke-width: 3 } path.floor { fill: none; stroke: var(--floor); stroke-dasharray: 6 4 }
path.other { fill: none; stroke: var(--other) } path.grid { stroke: var(--line); stroke-width: 1 }
</style>
${body.join('\n')}
</svg>
`
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
