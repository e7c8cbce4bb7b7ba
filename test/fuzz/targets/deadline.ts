import { LogicalContext } from 'logical-context'
import { requestTimeout } from 'logical-context/propagators'
import { deadline as variable } from 'logical-context/variables'
import { ensure, ensureSame, type FuzzTarget } from '../target.ts'
import { extractAll, injectAll } from './peers.ts'

const maxMs = 3_600_000
const units: Record<string, number> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 }
const formats = [
  { propagator: requestTimeout(), field: 'grpc-timeout', msOf: grpcMs, written: /^[1-9]\d{0,7}[mS]$/ },
  {
    propagator: requestTimeout({ header: 'x-timeout', format: 'milliseconds' }),
    field: 'x-timeout',
    msOf: plainMs,
    written: /^[1-9]\d{0,15}$/,
  },
]

export const deadline: FuzzTarget = {
  name: 'deadline',
  seeds: ['1S', '99999999H', '250m', '1u', '000n', '100000000S', '1500', '999999999999999', '1e3', '-1', '1S, 1S'],
  tokens: ['0', '9', '99999999', 'H', 'M', 'S', 'm', 'u', 'n', '.', 'e', '-', '+', 'Infinity', 'NaN', ', '],
  read: (input) => formats.map(({ propagator, field }) => extractAll(propagator, { [field]: input })),
  check(input) {
    const now = Date.now()
    for (const { propagator, field, msOf, written } of formats) {
      const end = extractAll(propagator, { [field]: input }).found.get(variable)
      const ms = msOf(input.replace(/^[ \t]+|[ \t]+$/g, ''))
      ensureSame(end !== undefined, ms !== undefined, 'reads what the grammar says')
      if (end !== undefined) {
        const left = end - now - Math.floor(Math.min(ms as number, maxMs))
        // The clock may go on in between.
        ensure(left >= 0 && left < 5000, 'reads the time that is written, and never more than an hour', end - now)
      }
      // A program may set any number.
      const own = LogicalContext.empty.with(variable, end ?? Number(input))
      const text = injectAll(propagator, own).found[field]
      if (text !== undefined) ensure(written.test(text), 'writes a whole number of at least 1', text)
      ensure(text !== undefined || !Number.isFinite(end ?? Number(input)), 'writes every time that is one', input)
    }
  },
}

function grpcMs(text: string): number | undefined {
  const [, digits, unit] = /^(\d{1,8})([HMSmun])$/.exec(text) ?? []
  return digits === undefined || Number(digits) === 0 ? undefined : Number(digits) * (units[unit as string] as number)
}

function plainMs(text: string): number | undefined {
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined
}
