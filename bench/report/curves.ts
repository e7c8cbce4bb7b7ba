import { type GrowthRow, ours } from '../harness/row.ts'
import { number } from './format.ts'
import type { Summary } from './summary.ts'
import { type Chart, colors, inWords, labelled } from './chart.ts'

/** The curves of a growth row. Both axes are logarithmic: a constant cost is flat, a linear cost has a slope of one. */
export function curveChart(row: GrowthRow, summary: Summary, node: string): Chart {
  const curves = curvesOf(row, summary, node)
  const sizes = row.sides.map(({ size }) => size)
  const points = curves.flatMap(({ name, points: of }) =>
    of.map(([size, ns]) => ({ label: `${name} at ${size}`, text: `${number(ns)} ns` })),
  )
  return {
    title: row.title,
    description: inWords(`Nanoseconds by ${row.axis}`, points),
    height: 360,
    option: {
      title: { text: `ns · Node ${node} · both axes are logarithmic`, left: 0, textStyle: colors.soft },
      grid: { left: 70, right: 270, top: 44, bottom: 60 },
      xAxis: {
        ...logAxis,
        name: row.axis,
        nameLocation: 'middle',
        nameGap: 32,
        min: Math.min(...sizes),
        max: Math.max(...sizes),
      },
      yAxis: { ...logAxis, splitLine: { lineStyle: { color: colors.grid } } },
      series: curves.map(({ name, kind, points: data }) => ({
        name,
        type: 'line',
        data,
        color: colors[kind],
        symbol: kind === 'ours' ? 'circle' : 'rect',
        symbolSize: kind === 'ours' ? 9 : 6,
        lineStyle: { width: kind === 'ours' ? 3 : 2, type: kind === 'floor' ? 'dashed' : 'solid' },
        endLabel: { show: true, formatter: labelled(name, kind), color: colors.text, fontSize: 13, distance: 10 },
        labelLayout: { moveOverlap: 'shiftY' },
      })),
    },
  }
}

const logAxis = {
  type: 'log',
  axisLabel: { color: colors.soft.color, formatter: (value: number) => value.toLocaleString('en') },
  nameTextStyle: colors.soft,
  axisLine: { show: false },
  axisTick: { show: false },
  splitLine: { show: false },
} as const

function curvesOf({ name: rowName, sides }: GrowthRow, { rows }: Summary, node: string) {
  const figures = rows[rowName]?.sides ?? {}
  return [...new Set(sides.map(({ line }) => line))].map((name) => {
    const of = sides.filter(({ line }) => line === name)
    const kind = name === ours ? 'ours' : of[0]?.role === 'floor' ? 'floor' : 'other'
    const points = of.map(({ name: side, size }) => [size, figures[side]?.[node]?.[0] ?? Number.NaN] as const)
    return { name, kind, points } as const
  })
}
