import { ours } from '../harness/row.ts'
import { number } from './format.ts'
import type { RowResult } from './results.ts'
import { fixed, svg, text } from './svg.ts'

const [width, height] = [760, 360]
const plot = { left: 70, right: 470, top: 44, bottom: 310 }

interface Curve {
  readonly name: string
  readonly kind: 'ours' | 'floor' | 'other'
  readonly points: readonly (readonly [size: number, ns: number])[]
}

/** The curves of a growth row on one Node, both axes logarithmic: what is flat is flat, what is linear has a slope of one. */
export function curveChart(row: RowResult, node: string): string {
  const curves = curvesOf(row, node)
  const points = curves.flatMap((curve) => curve.points)
  const x = axis(
    points.map(([size]) => size),
    plot.left,
    plot.right,
  )
  const y = axis(
    points.map(([, ns]) => ns),
    plot.bottom,
    plot.top,
  )
  const body = [text(0, 16, `ns · Node ${node} · both axes logarithmic`, { kind: 'soft' })]
  for (const [place, at] of y.marks) {
    body.push(`<path class="grid" d="M${plot.left} ${fixed(place)}H${plot.right}"/>`)
    body.push(text(plot.left - 8, place + 4, number(at).replace(/\.0+$/, ''), { kind: 'soft', anchor: 'end' }))
  }
  for (const size of new Set(points.map(([at]) => at))) {
    body.push(text(x.place(size), plot.bottom + 20, size.toLocaleString('en'), { kind: 'soft', anchor: 'middle' }))
  }
  body.push(text((plot.left + plot.right) / 2, plot.bottom + 42, row.axis ?? '', { kind: 'soft', anchor: 'middle' }))
  const labels = spreadOut(curves.map(({ points: of }) => y.place(of.at(-1)?.[1] ?? 1)))
  for (const [i, { name, kind, points: of }] of curves.entries()) {
    const path = of.map(([size, ns], at) => `${at === 0 ? 'M' : 'L'}${fixed(x.place(size))} ${fixed(y.place(ns))}`)
    body.push(`<path class="${kind}" d="${path.join('')}"/>`)
    for (const [size, ns] of of) body.push(dot(kind, x.place(size), y.place(ns)))
    body.push(text(plot.right + 12, (labels[i] ?? 0) + 4, kind === 'floor' ? `${name} (floor)` : name))
  }
  const words = curves.map(
    ({ name, points: of }) => `${name}: ${of.map(([size, ns]) => `${number(ns)} at ${size}`).join(', ')}.`,
  )
  return svg(row.title, `Nanoseconds by ${row.axis}. ${words.join(' ')}`, width, height, body)
}

function curvesOf(row: RowResult, node: string): Curve[] {
  const sides = row.nodes.find((result) => result.node === node)?.sides ?? []
  return [...new Set(sides.map(({ line = '' }) => line))].map((name) => {
    const of = sides.filter(({ line }) => line === name)
    const kind = name === ours ? 'ours' : of[0]?.role === 'floor' ? 'floor' : 'other'
    return { name, kind, points: of.map(({ size = 0, figures }) => [size, figures[0]?.value.median ?? 0] as const) }
  })
}

/** Ours is told apart by more than its colour. */
function dot(kind: Curve['kind'], x: number, y: number): string {
  if (kind === 'ours') return `<circle class="ours" cx="${fixed(x)}" cy="${fixed(y)}" r="5"/>`
  return `<rect class="${kind}" x="${fixed(x - 3)}" y="${fixed(y - 3)}" width="6" height="6"/>`
}

function axis(values: readonly number[], from: number, to: number) {
  const low = 10 ** Math.floor(Math.log10(Math.min(...values)))
  const high = 10 ** Math.ceil(Math.log10(Math.max(...values)))
  const place = (value: number) =>
    from + ((Math.log10(value) - Math.log10(low)) / (Math.log10(high / low) || 1)) * (to - from)
  const marks: (readonly [place: number, at: number])[] = []
  for (let at = low; at <= high; at *= 10) marks.push([place(at), at])
  return { place, marks }
}

/** Labels that would lie on each other are moved apart. */
function spreadOut(places: readonly number[]): number[] {
  const order = places.map((_, i) => i).toSorted((a, b) => (places[a] ?? 0) - (places[b] ?? 0))
  const result = [...places]
  for (let i = 1; i < order.length; i++) {
    const [above, here] = [order[i - 1] as number, order[i] as number]
    result[here] = Math.max(result[here] as number, (result[above] as number) + 18)
  }
  return result
}
