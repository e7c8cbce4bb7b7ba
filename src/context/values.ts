/**
 * The values of a context, by the index of their variable. A plain array, because a read must cost what an array read
 * costs; every fork shares it, and the first writer copies it.
 *
 * Place 0 holds the values of variables beyond `near`, place 1 the list of variables with rules. Variables begin at 2.
 */
export type Values = unknown[]

/** Whether an array has the two places of `Values`. A list of entries, as for a `Map`, does not. */
export function isValues(value: unknown): value is Values {
  if (!Array.isArray(value) || value.length < firstIndex) return false
  const far: unknown = value[farPlace]
  const ruled: unknown = value[ruledPlace]
  return (far === undefined || Array.isArray(far)) && (ruled === undefined || Object.hasOwn(Object(ruled), 'slot'))
}

/** What `values` needs to know of a variable. */
export interface Slot {
  readonly index: number
  /** True for a variable that a spawn or the seal treats in its own way. */
  readonly ruled: boolean
  readonly survivesSeal: boolean
}

/** A variable with rules that was set, and those that were set before it. */
export interface Ruled {
  readonly slot: Slot
  readonly rest: Ruled | undefined
  /** The last that was made with these as its rest: most units set the same variables in the same order, and share it. */
  next: Ruled | undefined
}

/** Before all lists of variables with rules. */
const noRuled: Pick<Ruled, 'next'> = { next: undefined }

const farPlace = 0
const ruledPlace = 1
export const firstIndex = 2

/** Variables below this index are in the array itself; a program rarely has more. */
const near = 32
/** The others are in a tree of nodes of 32, four deep, so that a write costs the same with ten thousand of them. */
const bits = 5
const topShift = 3 * bits
const mask = (1 << bits) - 1

/** In the place of `undefined`, which means "never set". */
export const undefinedValue: unique symbol = Symbol.for('logical-context.undefined') as never
/** Set and deleted again. A layer shows with it that the driver's value is hidden. */
export const deletedValue: unique symbol = Symbol.for('logical-context.deleted') as never

/** Values in which nothing is set, by how many places they have. */
const blanks: readonly Values[] = [[]]
for (let length = 1; length <= near; length++) (blanks as Values[]).push([...(blanks[length - 1] as Values), undefined])

/** The empty start of every unit. Never written: a cell that holds it is in the state `shared`. */
export const emptyValues: Values = [undefined, undefined]

/** The raw value: `undefined` if never set, else the value or one of the two symbols above. */
export function read(values: Values, index: number): unknown {
  if (index < near) return index < values.length ? values[index] : undefined
  let node = values[farPlace] as Values | undefined
  for (let shift = topShift; shift > 0 && node !== undefined; shift -= bits) {
    node = node[at(index, shift)] as Values | undefined
  }
  return node?.[at(index, 0)]
}

/** Writes a raw value, as `put` does. */
export function write(values: Values, slot: Slot, raw: unknown): Values {
  const written = withRoom(values, slot.index)
  if (slot.ruled && read(values, slot.index) === undefined) addRuled(written, slot)
  return put(written, slot.index, raw)
}

/** A copy for one who writes the variable next. */
export function copyFor(values: Values, { index }: Slot): Values {
  const copy = withRoom(values, index)
  return copy === values ? values.slice() : copy
}

/**
 * Writes a raw value, of a variable without rules or with rules that are in `values` already: in place, or in a copy where
 * it has no place yet. The caller owns `values`, and goes on with the result.
 */
export function put(values: Values, index: number, raw: unknown): Values {
  const written = withRoom(values, index)
  if (index < near) written[index] = raw
  else written[farPlace] = writeFar(written[farPlace] as Values | undefined, topShift, index, raw)
  return written
}

/**
 * The values themselves, or a copy that has a place for the variable. It has no holes, which V8 reads more slowly, and no
 * room to spare: an array that grows takes room for sixteen more values, and keeps it as long as the unit lives.
 */
function withRoom(values: Values, index: number): Values {
  if (index < values.length || index >= near) return values
  const copy = (blanks[index + 1] as Values).slice()
  for (let place = 0; place < values.length; place++) copy[place] = values[place]
  return copy
}

/** The variables with rules that were ever set in `values`, latest first. A list, not a generator: every spawn reads it. */
export function ruledOf(values: Values): Ruled | undefined {
  return values[ruledPlace] as Ruled | undefined
}

/** Values with the list of variables with rules of others, and without a value. */
export function emptyWithRules(values: Values): Values {
  return [undefined, values[ruledPlace]]
}

/** `base` with the values of `layer` above it; neither is changed. */
export function overlay(base: Values, layer: Values): Values {
  let merged = base.slice()
  for (let ruled = ruledOf(layer); ruled !== undefined; ruled = ruled.rest) addRuled(merged, ruled.slot)
  for (const [index, raw] of entriesOf(layer)) merged = put(merged, index, raw)
  return merged
}

/** What is left of `values` after the seal. */
export function survivorsOf(values: Values): Values {
  let survivors = emptyValues
  for (let ruled = ruledOf(values); ruled !== undefined; ruled = ruled.rest) {
    const { index, survivesSeal } = ruled.slot
    const raw = survivesSeal ? read(values, index) : undefined
    if (!isPresent(raw)) continue
    if (survivors === emptyValues) survivors = emptyWithRules(values)
    survivors = put(survivors, index, raw)
  }
  return survivors
}

/** Every index with a raw value, with it. */
export function* entriesOf(values: Values): Generator<[index: number, raw: unknown], void, undefined> {
  for (let index = firstIndex; index < values.length; index++) {
    if (values[index] !== undefined) yield [index, values[index]]
  }
  yield* farEntries(values[farPlace] as Values | undefined, topShift, 0)
}

export function encode(value: unknown): unknown {
  return value === undefined ? undefinedValue : value
}

export function decode(raw: unknown): unknown {
  return raw === undefinedValue ? undefined : raw
}

export function isPresent(raw: unknown): boolean {
  return raw !== undefined && raw !== deletedValue
}

function addRuled(values: Values, slot: Slot): void {
  // A value that was overridden and restored is unset, but in the list already.
  for (let known = ruledOf(values); known !== undefined; known = known.rest) {
    if (known.slot.index === slot.index) return
  }
  const rest = ruledOf(values)
  const before = rest ?? noRuled
  if (before.next?.slot !== slot) before.next = { slot, rest, next: undefined }
  values[ruledPlace] = before.next
}

/** The top node is as wide as it must be; the nodes below it have 32 places. */
function at(index: number, shift: number): number {
  return shift === topShift ? index >>> shift : (index >>> shift) & mask
}

function writeFar(node: Values | undefined, shift: number, index: number, raw: unknown): Values {
  const copy = node === undefined ? [] : node.slice()
  const place = at(index, shift)
  copy[place] = shift === 0 ? raw : writeFar(copy[place] as Values | undefined, shift - bits, index, raw)
  return copy
}

function* farEntries(
  node: Values | undefined,
  shift: number,
  base: number,
): Generator<[index: number, raw: unknown], void, undefined> {
  if (node === undefined) return
  for (const [place, below] of node.entries()) {
    const index = base + (place << shift)
    if (below === undefined) continue
    if (shift === 0) yield [index, below]
    else yield* farEntries(below as Values, shift - bits, index)
  }
}
