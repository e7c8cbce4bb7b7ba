import { runInNewContext } from 'node:vm'
import { LogicalContext } from 'logical-context'
import { afterEach, describe, expect, it } from 'vitest'
import {
  aBoolean,
  anAmount,
  aString,
  checkArgument,
  checkFunction,
  type Checks,
  checkOptions,
  oneOf,
} from '../src/options.ts'

const checks: Checks = { name: aString, limitMs: anAmount, quiet: aBoolean, form: oneOf('single', 'multi') }

interface Options {
  name?: string | undefined
  limitMs?: number
}

afterEach(() => {
  for (const name of ['name', 'limitMs', 'colour']) Reflect.deleteProperty(Object.prototype, name)
})

describe('checkOptions', () => {
  it('returns the options', () => {
    const options: Options = { name: 'import', limitMs: 5 }

    expect(checkOptions('start', options, checks)).toBe(options)
  })

  it('returns an empty object for undefined', () => {
    expect(Object.keys(checkOptions<Options>('start', undefined, checks))).toEqual([])
  })

  it.each<[name: string, options: unknown, message: string]>([
    ['an unknown option', { nme: 'x' }, "start: unknown option 'nme', expected one of: name, limitMs, quiet, form."],
    ['the name of a method of all objects', { toString: 1 }, "start: unknown option 'toString', expected one of"],
    [
      'an option of the wrong type',
      { limitMs: '5' },
      "start: option 'limitMs' expected a number of at least 0, got '5'.",
    ],
    ['a wrong word', { form: 'both' }, "start: option 'form' expected 'single' or 'multi', got 'both'."],
    [
      'null as an option',
      { name: null },
      "start: option 'name' expected a string of at least one character, got null.",
    ],
    ['null', null, 'start: expected an options object, got null.'],
    ['a string', 'import', "start: expected an options object, got 'import'."],
    ['a number', 5, 'start: expected an options object, got 5.'],
    ['an array', [], 'start: expected an options object, got [].'],
    ['a function', () => {}, 'start: expected an options object, got [Function (anonymous)].'],
    ['a class', Map, 'start: expected an options object, got [Function: Map].'],
    ['a Map', new Map([['name', 'import']]), 'start: expected an options object, got Map(1)'],
    ['a date', new Date(0), 'start: expected an options object, got 1970-01-01'],
    ['a context', LogicalContext.empty, 'start: expected an options object, got LogicalContext {}.'],
    ['a promise', Promise.resolve({}), 'start: expected an options object, got Promise'],
  ])('refuses %s', (_, options, message) => {
    expect(() => checkOptions('start', options as Options, checks)).toThrow(TypeError)
    expect(() => checkOptions('start', options as Options, checks)).toThrow(message)
  })

  it('ignores options with the value undefined', () => {
    const options = { name: undefined, colour: undefined }

    expect(checkOptions<Options>('start', options, checks).name).toBe(undefined)
  })

  it('accepts objects without a prototype, of another realm, with inherited options, and of a class', () => {
    class Config {
      name = 'import'
    }
    const options: Options[] = [
      Object.create(null) as Options,
      runInNewContext('({})') as Options,
      Object.create({ name: 'import' }) as Options,
      new Config(),
    ]

    const names = options.map((each) => ({ ...checkOptions('start', each, checks) }).name)

    expect(names).toEqual([undefined, undefined, 'import', 'import'])
  })

  it('checks inherited options', () => {
    const options = Object.create({ limitMs: 'long' }) as Options

    expect(() => checkOptions('start', options, checks)).toThrow("option 'limitMs' expected a number")
  })

  it('refuses an unknown option without a call of its getter', () => {
    const options = {
      get colour() {
        throw new RangeError('called')
      },
    }

    expect(() => checkOptions('start', options, checks)).toThrow("start: unknown option 'colour'")
  })

  it('ignores what other code added to Object.prototype', () => {
    Object.assign(Object.prototype, { colour: 'red', limitMs: 'polluted' })

    const given = checkOptions<Options>('start', { name: 'import' }, checks)
    const inherited = checkOptions<Options>('start', Object.create({ name: 'import' }) as Options, checks)
    const none = checkOptions<Options>('start', undefined, checks)

    expect([given.name, given.limitMs]).toEqual(['import', undefined])
    expect([inherited.name, inherited.limitMs]).toEqual(['import', undefined])
    expect([none.name, none.limitMs]).toEqual([undefined, undefined])
  })

  it('prefers an inherited option to a property of Object.prototype', () => {
    Object.assign(Object.prototype, { name: 'polluted' })

    const { name } = checkOptions('start', Object.create({ name: 'import' }) as Options, checks)

    expect(name).toBe('import')
  })
})

describe('checkArgument', () => {
  it('throws a TypeError that names the function, what it expected and what it got', () => {
    expect(() => checkArgument('sleep', anAmount, Number.NaN)).toThrow(
      new TypeError('sleep: expected a number of at least 0, got NaN.'),
    )
  })

  it('accepts what the check accepts', () => {
    expect(checkArgument('sleep', anAmount, 0)).toBe(undefined)
  })
})

describe('checkFunction', () => {
  it.each([undefined, null, 'text', {}, Promise.resolve()])('refuses %s', (value) => {
    expect(() => checkFunction('bind', value)).toThrow(/^bind: expected a function, got /)
    expect(() => checkFunction('bind', value)).toThrow(TypeError)
  })

  it('accepts functions and classes', () => {
    expect([checkFunction('bind', () => {}), checkFunction('bind', Map)]).toEqual([undefined, undefined])
  })
})
