export interface Chart {
  readonly title: string
  /** The content of the chart in words, for screen readers. */
  readonly description: string
  readonly height: number
  /** An option of ECharts. The package is not installed where the tests of the charts run. */
  readonly option: object
}

/** Of all texts. */
export const font = 'system-ui, sans-serif'

/** Colors on a light background. */
export const colors = {
  ours: '#0b5fcc',
  floor: '#8250df',
  other: '#818b98',
  title: '#1f2327',
  text: '#1f2328',
  soft: { color: '#59636e', fontSize: 12, fontWeight: 'normal', fontFamily: font },
  grid: '#d1d9e0',
} as const

/** The same colors on a dark background. */
const dark: Readonly<Record<string, string>> = {
  [colors.ours]: '#58a6ff',
  [colors.floor]: '#bc8cff',
  [colors.other]: '#6e7681',
  [colors.title]: '#f0f6fd',
  [colors.text]: '#f0f6fc',
  [colors.soft.color]: '#b1bac4',
  [colors.grid]: '#3d444d',
}

/** Adds to an SVG what ECharts does not write. */
export function withWords(svg: string, title: string, description: string): string {
  const rules = Object.entries(dark).map(
    ([light, color]) => `[fill="${light}"] { fill: ${color} } [stroke="${light}"] { stroke: ${color} }`,
  )
  const head =
    `<title id="title">${escape(title)}</title>\n<desc id="description">${escape(description)}</desc>\n` +
    `<style>[fill="${colors.title}"] { font-weight: 600 }\n@media (prefers-color-scheme: dark) {\n${rules.join('\n')}\n}</style>\n`
  return svg.replace(/<svg([^>]*)>/, (_, attributes) => {
    return `<svg role="img" aria-labelledby="title description"${attributes}>\n${head}`
  })
}

export function labelled(name: string, role: string): string {
  return role === 'floor' ? `${name} (floor)` : name
}

export function inWords(title: string, parts: readonly { label: string; text: string }[]): string {
  return `${title}: ${parts.map(({ label, text }) => `${label} ${text}`).join(', ')}.`
}

function escape(text: string): string {
  return text.replaceAll('`', '').replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
